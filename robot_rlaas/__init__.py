"""Reinforcement learning as a service for factory robot cells.

Whoever imports it finds every shipped cell in Gymnasium: `gymnasium.make("rlaas/peg_insertion-v0")`.
"""

from robot_rlaas.env.registration import announce

__version__ = "0.1.0"

announce()
