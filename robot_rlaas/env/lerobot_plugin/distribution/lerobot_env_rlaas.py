"""The name by which LeRobot finds the cells of robot_rlaas."""

from robot_rlaas.env.lerobot_plugin import RlaasEnvConfig

__all__ = ["RlaasEnvConfig"]
