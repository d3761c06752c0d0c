"""Insertions: where holes were, friction, and what of that the cell may be simulated with."""
