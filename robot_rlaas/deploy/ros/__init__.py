"""Thin ROS 2 nodes: they move messages and keep time. Run: `python -m robot_rlaas.deploy.ros.NAME --params FILE`."""
