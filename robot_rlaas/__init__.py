"""Reinforcement learning as a service for factory robot cells."""

__version__ = "0.1.0"
