"""What a recorder writes of an arm, and into which files."""

from pathlib import Path

from robot_rlaas.cell.handling import HandlingTask
from robot_rlaas.cell.hardware import HardwareProfile
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.deploy import names

LOG = "log.mcap"


def part(file: Path, number: int) -> Path:
    """A log's part of this number: the file itself, then log_0001.mcap beside log.mcap and so on."""
    return file if number == 0 else file.with_name(f"{file.stem}_{number:04d}{file.suffix}")


def later_parts(file: Path) -> list[Path]:
    """All parts that are there but the first."""
    return sorted(file.parent.glob(f"{file.stem}_[0-9]*{file.suffix}"))


def measured_by(profile: HardwareProfile) -> dict[str, str]:
    """The topics of the arm's own sensors, and their types."""
    topics = {profile.topics.joint_states: "sensor_msgs/msg/JointState"}
    if profile.topics.wrench is not None:
        topics[profile.topics.wrench] = "geometry_msgs/msg/WrenchStamped"
    return topics


def topics_of(profile: HardwareProfile, cell: CellSpec) -> dict[str, dict[str, str]]:
    """The topics to record: type, and quality of service as of `recorder_node.QOS`."""
    topics, handling = profile.topics, cell.task if isinstance(cell.task, HandlingTask) else None
    sensors = measured_by(profile)
    if handling:
        sensors[names.MACHINES] = "sensor_msgs/msg/JointState"
        sensors |= {f"{names.PART}/{part.name}": "geometry_msgs/msg/PoseStamped" for part in handling.parts}
    reliable = {
        topics.command: profile.command_type,
        names.TARGET: "trajectory_msgs/msg/JointTrajectory",
        names.OBSERVATION: "std_msgs/msg/String",
        names.EVENTS: "std_msgs/msg/String",
    }
    if handling:
        reliable[names.GRIP] = "trajectory_msgs/msg/JointTrajectory"
        if profile.gripper is not None:
            reliable[profile.gripper.command] = "std_msgs/msg/Float64MultiArray"
        reliable[names.MACHINES_TOLD] = "sensor_msgs/msg/JointState"
    latched = {
        names.PLATE: "geometry_msgs/msg/PoseStamped",
        names.PLATE_COVARIANCE: "geometry_msgs/msg/PoseWithCovarianceStamped",
        names.PERCEPTION: "std_msgs/msg/String",
        names.MOTION: "std_msgs/msg/String",
    }
    kinds = {"sensor": sensors, "reliable": reliable, "latched": latched}
    return {topic: {"type": name, "qos": qos} for qos, types in kinds.items() for topic, name in types.items()}
