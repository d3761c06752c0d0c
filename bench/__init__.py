"""Measurements that print ratios from one run and write bench/results.json."""
