"""ROS 2 names of our own. The vendor's names stand in the hardware profile."""

TARGET = "/rlaas/target"  # trajectory_msgs/JointTrajectory, one point, at the control rate
OBSERVATION = "/rlaas/observation"  # std_msgs/String, JSON: what the policy saw and did for each target, results
PLATE = "/rlaas/plate_pose"  # geometry_msgs/PoseStamped, latched: the hole's frame as the camera sees it
PLATE_COVARIANCE = "/rlaas/plate_pose_with_covariance"  # geometry_msgs/PoseWithCovarianceStamped, latched
PERCEPTION = "/rlaas/perception"  # std_msgs/String, JSON, latched: what keeps the plate's pose from being told
LOOK = "/rlaas/look"  # std_srvs/Trigger: tell PLATE anew, from pictures that are taken from now on
POLICY = "/rlaas/policy"  # std_msgs/String, JSON, latched
MOTION = "/rlaas/motion"  # std_msgs/String, JSON, latched: what a motion of the arm's own is doing
SUPERVISOR = "/rlaas/supervisor"  # std_msgs/String, JSON, latched
EVENTS = "/rlaas/events"  # std_msgs/String, JSON: one intervention of supervisor or watchdog each
SETPOINTS = "/rlaas/setpoints"  # std_msgs/Float64MultiArray: positions and velocities, from supervisor to watchdog
WATCHDOG = "/rlaas/watchdog"  # std_msgs/String, JSON, latched, with liveliness
RECORDER = "/rlaas/recorder"  # std_msgs/String, JSON, latched, with liveliness
SCORE = "/virtual_arm/score"  # std_msgs/String, JSON, latched
NEXT_PART = "/virtual_arm/next_part"  # std_srvs/Trigger
STOP = "/rlaas/stop"  # std_srvs/Trigger: the supervisor stops the arm until somebody resets it
RESET = "/supervisor/reset"  # std_srvs/Trigger: the watchdog, too
WATCHDOG_RESET = "/watchdog/reset"  # std_srvs/Trigger
PAGE = "/rlaas/page"  # std_msgs/String, JSON, latched: the operator's page is up
POLICY_NODE, RECORDER_NODE, EARS_NODE = "rlaas_policy", "rlaas_recorder", "rlaas_operator_ears"
WITNESSES = (RECORDER_NODE, EARS_NODE)  # they hear what passes, and move nothing
BASE_FRAME, WRIST_FRAME = "base_link", "tool0"
