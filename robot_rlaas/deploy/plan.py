"""Which processes a deployment is made of: the one list that `rlaas deploy` and `ros2 launch` both start."""

import sys
from pathlib import Path
from typing import Any, NamedTuple

from robot_rlaas.bundle import Bundle
from robot_rlaas.bundle.domain import Domain
from robot_rlaas.bundle.flange import chain_to_flange
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.hardware import HardwareProfile, load_hardware, load_plant
from robot_rlaas.cell.perception import load_perception
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.capsules import Capsules
from robot_rlaas.control.envelope import Tightest, envelope_of, tightest
from robot_rlaas.control.kinematics import SerialChain
from robot_rlaas.control.safety import Envelope
from robot_rlaas.deploy import names
from robot_rlaas.deploy.arm import arm_of
from robot_rlaas.deploy.ui import VARIABLE, Ui
from robot_rlaas.files import write_json
from robot_rlaas.vision.target import target_of

ARMS = ("virtual", "real")
DOMAIN = ("enforce", "tell")  # what follows when a policy leaves its operating domain: slow, then hold; or nothing
OVERHEAD_S = 15.0  # of one attempt beyond its timeout: lift, home, zero the wrench, next part


class Process(NamedTuple):
    """One process: `python -m module --params <file with params>` under these additions to the environment.

    `ros_args` are those of any ROS node: "-r", "/from:=/to" and so on.
    """

    name: str
    module: str
    params: dict[str, Any]
    environment: dict[str, str]
    ros_args: tuple[str, ...] = ()

    def argv(self, out: Path) -> list[str]:
        """The command line; writes the parameter file under `out`."""
        file = out / "params" / f"{self.name}.json"
        write_json(file, self.params)
        ros_args = ("--ros-args", *self.ros_args) if self.ros_args else ()
        return [sys.executable, "-m", self.module, "--params", str(file), *ros_args]


class Station(NamedTuple):
    """What the processes round the arm must know, whatever drives it.

    Attributes:
        cell: the cell.
        chain, envelope: from a bundle or from a workcell.
        capsules: the arm's shape, from there too; None where it is not known.
        domain: what the supervisor holds the policy to; None: to nothing.
        domain_rule: for the log: one of DOMAIN, or "unknown" where the bundle has no operating domain.
        bundle_sha256: for the log; empty without a bundle.
        origin: who vouches for the bundle, in words, for the log.
    """

    cell: CellSpec
    chain: SerialChain
    envelope: Envelope
    bundle_sha256: str = ""
    origin: str = ""
    capsules: Capsules | None = None
    domain: Domain | None = None
    domain_rule: str = "unknown"

    @property
    def profile(self) -> HardwareProfile:
        """The hardware profile that the cell names."""
        return load_hardware(self.cell.robot.hardware)

    @property
    def limits(self) -> Tightest:
        """What hardware profile and cell, as they are here, and the bundle allow together.

        Raises:
            InputError: if profile and bundle are not of the same joints.
        """
        profile, joints = self.profile, self.chain.joints
        if set(profile.joints) != set(joints):
            raise InputError(
                f"the hardware profile '{self.cell.robot.hardware}' has joints {list(profile.joints)}; "
                f"the bundle drives {list(joints)}",
            )
        here = envelope_of(self.cell, profile.ordered(joints), self.chain, self.envelope.guarded_m)
        return tightest(("hardware profile and cell", here), ("bundle", self.envelope))


def environment(domain_id: int | None) -> dict[str, str]:
    """What every process gets: no threads for small matrices; with a domain, traffic that stays on this machine."""
    threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    if domain_id is None:
        return threads
    if not 0 <= domain_id <= 101:
        raise InputError(f"ROS domain {domain_id}: allowed are 0 to 101")
    return threads | {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "ROS_DOMAIN_ID": str(domain_id)}


def arm_processes(
    station: Station, out: Path, *, arm: str, plant: str, seed: int, domain_id: int | None
) -> tuple[Process, ...]:
    """The virtual arm (unless `arm` is "real"), the watchdog, the supervisor and the recorder.

    Args:
        station: what they must know.
        out: where score.json, supervisor.json and log.mcap go.
        arm: "virtual" or "real".
        plant: name or path of how the virtual arm differs from the nominal one.
        seed: of the virtual arm's parts and noise.
        domain_id: ROS domain, for a virtual arm; None takes the environment as it is.

    Raises:
        InputError: on an unknown arm, plant or hardware profile, or one of another arm.
    """
    if arm not in ARMS:
        raise InputError(f"'{arm}' is no arm; allowed: {', '.join(ARMS)}")
    if arm == "real" and domain_id is not None:
        raise InputError(f"ROS domain {domain_id} for a real arm", fix="set ROS_DOMAIN_ID as for the arm's driver")
    cell, profile, env = station.cell, station.profile, environment(domain_id)
    load_plant(plant, len(profile.joints))
    topics = profile.topics.model_dump()
    virtual_arm = {
        "cell": cell.model_dump(mode="json"),
        "plant": plant,
        "seed": seed,
        "score_file": str(out / "score.json"),
    }
    limits, joints = station.limits, station.chain.joints
    supervisor = {
        "chain": station.chain.to_json(),
        "envelope": limits.envelope.to_json(),
        "arm": arm_of(profile, joints, station.capsules).to_json(),
        "limits": {"origin": limits.origin, **limits.envelope.to_json()},
        "period_s": cell.period_s,
        "command_rate_hz": profile.command_rate_hz,
        "topics": topics,
        "hardware": cell.robot.hardware,
        "domain": station.domain.to_json() if station.domain else None,
        "counts_file": str(out / "supervisor.json"),
    }
    watchdog = {
        "joints": list(joints),
        "controller_joints": list(profile.joints),
        "envelope": limits.envelope.to_json(),
        "command_rate_hz": profile.command_rate_hz,
        "topics": topics,
    }
    processes = (
        Process("virtual_arm", "robot_rlaas.deploy.ros.virtual_arm_node", virtual_arm, env),
        Process("watchdog", "robot_rlaas.deploy.ros.watchdog_node", watchdog, env),
        Process("supervisor", "robot_rlaas.deploy.ros.supervisor_node", supervisor, env),
        Process("recorder", "robot_rlaas.deploy.ros.recorder_node", _recorder(station, profile, out), env),
    )
    return processes[arm == "real" :]


def plan(
    bundle: Bundle,
    out: Path,
    *,
    attempts: int,
    arm: str,
    plant: str,
    seed: int,
    domain_id: int | None,
    ui: Ui | None = None,
    domain: str = "enforce",
    perception: Path | None = None,
) -> tuple[Process, ...]:
    """All processes of a deployment, in the order to start them in. See `arm_processes` for the arguments.

    The policy's node waits to be configured and activated, which the last process, the conductor, does. With `ui` it
    waits for the operator's page before that, and leaves stops to whoever sits there. `domain` is one of DOMAIN. With
    `perception`, a perception file, a process finds the plate in a camera's pictures; else somebody else has to tell
    where a real arm's plate is.

    Raises:
        InputError: as `arm_processes`, for another `domain`, for a bundle that nobody vouches for, and for a perception
            file that cannot be used.
    """
    if attempts < 1:
        raise InputError(f"{attempts} attempts: at least one")
    if not bundle.origin.accepted:
        raise InputError("it was not asked who vouches for this bundle", file=bundle.path, fix="load it with a Trust")
    rule = domain_rule(bundle, domain)
    parts = (bundle.cell, bundle.chain, bundle.envelope, bundle.sha256, str(bundle.origin), bundle.capsules)
    station = Station(*parts, bundle.domain if rule == "enforce" else None, rule)
    profile, env = station.profile, environment(domain_id)
    policy = {
        "bundle": str(bundle.path.resolve()),
        "bundle_sha256": bundle.sha256,
        "origin": str(bundle.origin),
        "envelope": station.limits.envelope.to_json(),
        "attempts": attempts,
        "joints": list(bundle.chain.joints),
        "period_s": bundle.cell.period_s,
        "state_rate_hz": profile.state_rate_hz,
        "topics": profile.topics.model_dump(),
        "next_part": names.NEXT_PART if arm == "virtual" else names.LOOK if perception else "",
        "stats_file": str(out / "policy.json"),
    }
    conductor = {
        "attempts": attempts,
        "scored": arm == "virtual",
        "timeout_s": 20.0 + attempts * (bundle.cell.task.timeout_s + OVERHEAD_S),
        "attended": ui is not None,
    }
    eyes = (_eyes(station, perception, arm, env),) if perception else ()
    page, told = (), {}
    if ui is not None:
        told = {VARIABLE: ui.address}
        page = (Process("operator", "robot_rlaas.operate.node", _operator(bundle, station, ui, conductor), env | told),)
    return (
        *arm_processes(station, out, arm=arm, plant=plant, seed=seed, domain_id=domain_id),
        *eyes,
        Process("policy", "robot_rlaas.deploy.ros.policy_node", policy, env),
        *page,
        Process("conductor", "robot_rlaas.deploy.ros.conductor", conductor, env | told),
    )


def domain_rule(bundle: Bundle, domain: str) -> str:
    """What of DOMAIN can be done with a bundle, "unknown" where it has no operating domain.

    Raises:
        InputError: if it is none of them.
    """
    if domain not in DOMAIN:
        raise InputError(f"'{domain}' is nothing to do about the operating domain; allowed: {', '.join(DOMAIN)}")
    return domain if bundle.domain is not None else "unknown"


def _eyes(station: Station, file: Path, arm: str, env: dict[str, str]) -> Process:
    """The process that finds the plate."""
    if arm == "virtual":
        text = "a virtual arm tells itself where its plate is; a perception file is for a real one"
        raise InputError(text, file=file, fix="leave --perception out, or take --arm real")
    eye = load_perception(file)
    target_of(eye.spec.target, file)
    on_wrist = eye.calibration.mount == "hand"
    params = {
        "perception": eye.spec.model_dump(mode="json"),
        "calibration": eye.calibration.model_dump(mode="json"),
        "height_m": station.cell.task.plate.top_mm[2] / 1000,
        "chain": chain_to_flange(station.cell).to_json() if on_wrist else None,
        "topics": station.profile.topics.model_dump(),
    }
    return Process("perception", "robot_rlaas.deploy.ros.perception_node", params, env)


def _operator(bundle: Bundle, station: Station, ui: Ui, conductor: dict[str, Any]) -> dict[str, Any]:
    """What the operator's page must know. Its token is not in it: this is written to a file."""
    return {
        "cell": bundle.cell.model_dump(mode="json"),
        "joints": list(bundle.chain.joints),
        "topics": station.profile.topics.model_dump(),
        "attempts": conductor["attempts"],
        "scored": conductor["scored"],
        "force_N": station.limits.envelope.force_N,
        "requirements": (bundle.report or {}).get("requirements", []),
        "bundle": f"{bundle.manifest['name']}, {bundle.origin}",
        "host": ui.host,
        "port": ui.port,
    }


def _recorder(station: Station, profile: HardwareProfile, out: Path) -> dict[str, Any]:
    topics = profile.topics
    return {
        "file": str(out / "log.mcap"),
        "topics": {
            topics.joint_states: {"type": "sensor_msgs/msg/JointState", "qos": "sensor"},
            topics.felt: {"type": "geometry_msgs/msg/WrenchStamped", "qos": "sensor"},
            topics.command: {"type": "std_msgs/msg/Float64MultiArray", "qos": "reliable"},
            names.TARGET: {"type": "trajectory_msgs/msg/JointTrajectory", "qos": "reliable"},
            names.OBSERVATION: {"type": "std_msgs/msg/String", "qos": "reliable"},
            names.PLATE: {"type": "geometry_msgs/msg/PoseStamped", "qos": "latched"},
            names.PLATE_COVARIANCE: {"type": "geometry_msgs/msg/PoseWithCovarianceStamped", "qos": "latched"},
            names.PERCEPTION: {"type": "std_msgs/msg/String", "qos": "latched"},
            names.MOTION: {"type": "std_msgs/msg/String", "qos": "latched"},
            names.EVENTS: {"type": "std_msgs/msg/String", "qos": "reliable"},
        },
        "metadata": {
            "cell": station.cell.name,
            "cell_hash": station.cell.hash,
            "bundle_sha256": station.bundle_sha256,
            "bundle_origin": station.origin,
            "operating_domain": station.domain_rule,
            "hardware": station.cell.robot.hardware,
        },
    }
