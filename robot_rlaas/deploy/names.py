"""ROS 2 names of our own. The vendor's names stand in the hardware profile."""

TARGET = "/rlaas/target"  # trajectory_msgs/JointTrajectory, one point, at the control rate
PLATE = "/rlaas/plate_pose"  # geometry_msgs/PoseStamped, latched: the hole's frame as the camera sees it
POLICY = "/rlaas/policy"  # std_msgs/String, JSON, latched
SUPERVISOR = "/rlaas/supervisor"  # std_msgs/String, JSON, latched
SCORE = "/virtual_arm/score"  # std_msgs/String, JSON, latched
NEXT_PART = "/virtual_arm/next_part"  # std_srvs/Trigger
RESET = "/supervisor/reset"  # std_srvs/Trigger
POLICY_NODE = "rlaas_policy"
BASE_FRAME, WRIST_FRAME = "base_link", "tool0"
