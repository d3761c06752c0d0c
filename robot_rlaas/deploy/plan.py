"""Which processes a deployment is made of: the one list that `rlaas deploy` and `ros2 launch` both start."""

import json
from pathlib import Path
from typing import Any

from robot_rlaas.bundle import Bundle
from robot_rlaas.bundle.flange import chain_to_flange
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.fixtures import Door
from robot_rlaas.cell.handling import HandlingTask
from robot_rlaas.cell.hardware import AS_THE_PROFILE_SAYS, HardwareProfile, Line, load_plant
from robot_rlaas.cell.kinds import deployable
from robot_rlaas.cell.perception import load_perception
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.deploy import names
from robot_rlaas.deploy.arm import arm_of
from robot_rlaas.deploy.recorded import LOG, measured_by, topics_of
from robot_rlaas.deploy.station import Process, Station, environment
from robot_rlaas.deploy.ui import VARIABLE, Ui
from robot_rlaas.vision.target import target_of

ARMS = ("virtual", "real")
NODES = "robot_rlaas.deploy.ros"
DOMAIN = ("enforce", "tell")  # what follows when a policy leaves its operating domain: slow, then hold; or nothing
OVERHEAD_S = 15.0  # of one attempt beyond its timeout: lift, home, zero the wrench, next part


def arm_processes(
    station: Station,
    out: Path,
    *,
    arm: str,
    plant: str,
    seed: int,
    domain_id: int | None,
    log_mb: float | None = None,
) -> tuple[Process, ...]:
    """The arm, the watchdog, the supervisor and the recorder.

    The arm is the virtual one, or a real one's driver, where its hardware profile has one; else that one is running.

    Args:
        station: what they must know.
        out: where score.json, supervisor.json and log.mcap go.
        arm: "virtual" or "real".
        plant: name or path of how the virtual arm differs from the nominal one.
        seed: of the virtual arm's parts and noise.
        domain_id: ROS domain, for a virtual arm; None takes the environment as it is.
        log_mb: the log goes on in a new file when one is larger; see `recorded.part`. None: it is one file.

    Raises:
        InputError: on an unknown arm, plant or hardware profile, one of another arm, a port that is not there, or a
            `log_mb` of nothing.
    """
    if arm not in ARMS:
        raise InputError(f"'{arm}' is no arm; allowed: {', '.join(ARMS)}")
    if log_mb is not None and not log_mb > 0:
        raise InputError(f"a log of {log_mb} MB: it must be more than 0", fix="leave it out for a log of one file")
    if arm == "real" and domain_id is not None:
        raise InputError(f"ROS domain {domain_id} for a real arm", fix="set ROS_DOMAIN_ID as for the arm's driver")
    cell, profile, env = station.cell, station.profile, environment(domain_id)
    if arm == "virtual":
        load_plant(plant, len(profile.joints))
    topics = profile.topics.model_dump()
    virtual_arm = {
        "cell": cell.model_dump(mode="json"),
        "plant": plant,
        "seed": seed,
        "topics": topics,
        "command_type": profile.command_type,
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
        "gripper": _gripper(station),
        "hardware": cell.robot.hardware,
        "domain": station.domain.to_json() if station.domain else None,
        "counts_file": str(out / "supervisor.json"),
    }
    watchdog = {
        "joints": list(joints),
        "controller_joints": list(profile.joints),
        "command_type": profile.command_type,
        "envelope": limits.envelope.to_json(),
        "command_rate_hz": profile.command_rate_hz,
        "topics": topics,
    }
    body = (Process("virtual_arm", f"{NODES}.virtual_arm_node", virtual_arm, env),)
    return (
        *(_driver(profile, env) if arm == "real" else body),
        Process("watchdog", f"{NODES}.watchdog_node", watchdog, env),
        Process("supervisor", f"{NODES}.supervisor_node", supervisor, env),
        Process("recorder", f"{NODES}.recorder_node", _recorder(station, out, log_mb), env),
    )


def _driver(profile: HardwareProfile, env: dict[str, str]) -> tuple[Process, ...]:
    """The process that drives a real arm, if this machine does."""
    if profile.driver is None:
        return ()
    if not Path(profile.driver.port).exists():
        text = f"there is no port {profile.driver.port}, on which a {profile.arm} should be"
        raise InputError(text, fix="plug it in and switch it on, or name its --port: 'lerobot-find-port' finds it")
    params = {"profile": profile.model_dump(mode="json")}
    return (Process("driver", f"{NODES}.driver_node", params, env | {"HF_HUB_OFFLINE": "1"}),)


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
    log_mb: float | None = None,
    line: Line = AS_THE_PROFILE_SAYS,
) -> tuple[Process, ...]:
    """All processes of a deployment, in the order to start them in. See `arm_processes` for the arguments.

    The policy's node waits to be configured and activated, which the last process, the conductor, does. With `ui` it
    waits for the operator's page before that, and leaves stops to whoever sits there. `domain` is one of DOMAIN. With
    `perception`, a perception file, a process finds the plate in a camera's pictures; else somebody else has to tell
    where a real arm's plate is. `line`: see `Station`.

    Raises:
        InputError: as `arm_processes`, for another `domain`, for a bundle that nobody vouches for, for an arm that
            feels nothing, and for a perception file that cannot be used.
    """
    if attempts < 1:
        raise InputError(f"{attempts} attempts: at least one")
    if not bundle.origin.accepted:
        raise InputError("it was not asked who vouches for this bundle", file=bundle.path, fix="load it with a Trust")
    rule = domain_rule(bundle, domain)
    parts = (bundle.cell, bundle.chain, bundle.envelope, bundle.sha256, str(bundle.origin), bundle.capsules)
    contract = json.dumps(bundle.contract.to_json())
    station = Station(*parts, bundle.domain if rule == "enforce" else None, rule, contract, line)
    profile, env = station.profile, environment(domain_id)
    handling = isinstance(bundle.cell.task, HandlingTask)
    deployable(bundle.cell)
    if not handling:
        _ = profile.topics.felt  # a policy that inserts goes by what the wrist feels
    elif perception:
        text = "a perception file says how a plate is seen, and this is a handling cell"
        raise InputError(text, file=perception, fix=f"tell where its parts are seen, on {names.PART}/NAME")
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
        "next_part": names.NEXT_PART if arm == "virtual" else _feeder(handling, perception),
        "task": bundle.cell.task.model_dump(mode="json") if handling else None,
        "gripper": _gripper(station),
        "stats_file": str(out / "policy.json"),
    }
    conductor = {
        "attempts": attempts,
        "scored": arm == "virtual",
        "timeout_s": 20.0 + attempts * (bundle.cell.task.timeout_s + _overhead_s(bundle.cell)),
        "attended": ui is not None,
    }
    eyes = (_eyes(station, perception, arm, env),) if perception else ()
    page, told = (), {}
    if ui is not None:
        told = {VARIABLE: ui.address}
        page = (Process("operator", "robot_rlaas.operate.node", _operator(bundle, station, ui, conductor), env | told),)
    return (
        *arm_processes(station, out, arm=arm, plant=plant, seed=seed, domain_id=domain_id, log_mb=log_mb),
        *eyes,
        Process("policy", f"{NODES}.policy_node", policy, env),
        *page,
        Process("conductor", f"{NODES}.conductor", conductor, env | told),
    )


def _gripper(station: Station) -> dict[str, Any] | None:
    """What is told of a handling cell's gripper to whoever moves it."""
    gripper = station.profile.gripper if isinstance(station.cell.task, HandlingTask) else None
    return gripper.model_dump() if gripper else None


def _feeder(handling: bool, perception: Path | None) -> str:
    """The service that a real arm's policy asks for the next part; empty where a pose says that it is there."""
    return names.FEED if handling else names.LOOK if perception else ""


def _overhead_s(cell: CellSpec) -> float:
    """Doors are waited for on the way home."""
    doors = [f for f in cell.task.fixtures if isinstance(f, Door)] if isinstance(cell.task, HandlingTask) else []
    return OVERHEAD_S + sum(2 * door.period_s for door in doors)


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
    return Process("perception", f"{NODES}.perception_node", params, env)


def _operator(bundle: Bundle, station: Station, ui: Ui, conductor: dict[str, Any]) -> dict[str, Any]:
    """What the operator's page must know. Its token is not in it: this is written to a file."""
    return {
        "cell": bundle.cell.model_dump(mode="json"),
        "joints": list(bundle.chain.joints),
        "topics": station.profile.topics.model_dump(),
        "gripper": _gripper(station),
        "attempts": conductor["attempts"],
        "scored": conductor["scored"],
        "force_N": station.limits.envelope.force_N,
        "requirements": (bundle.report or {}).get("requirements", []),
        "bundle": f"{bundle.manifest['name']}, {bundle.origin}",
        "host": ui.host,
        "port": ui.port,
    }


def _recorder(station: Station, out: Path, log_mb: float | None) -> dict[str, Any]:
    return {
        "file": str(out / LOG),
        "part_bytes": None if log_mb is None else round(1e6 * log_mb),
        "topics": topics_of(station.profile, station.cell),
        "arm": list(measured_by(station.profile)),
        "metadata": {
            "cell": station.cell.name,
            "cell_hash": station.cell.hash,
            "bundle_sha256": station.bundle_sha256,
            "bundle_origin": station.origin,
            "operating_domain": station.domain_rule,
            "hardware": station.cell.robot.hardware,
            "contract": station.contract,
        },
    }
