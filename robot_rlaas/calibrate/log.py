"""A recorded motion: joint positions and streamed commands out of MCAP files, refused when it cannot tell enough."""

from collections.abc import Sequence
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from robot_rlaas.calibrate.bag import mcap_files
from robot_rlaas.calibrate.cut_off import Logged, is_cut, read_cut
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.hardware import HardwareProfile

MIN_SAMPLES = 100
MIN_RATE_HZ = 30.0
MAX_GAP_S = 0.2
MIN_RANGE_RAD = 0.01
MIN_REVERSALS = 4
TURN_RAD = 0.003  # a change of direction counts when the joint has come back by this much
HOLD_S = 0.5  # how long after the last command the joint states are still used
OVERLAP_S = 0.1  # of two files of one recording: a recorder writes in about the order of time
SAME_CLOCK_S = 0.1  # stamps that lag the recorder's clock by less than this are of the same clock

EXCITE = "record a motion with `rlaas calibrate excite`, which moves every joint back and forth for 12 s"


class JointLog(NamedTuple):
    """What was commanded and what happened, k joints, one clock.

    Attributes:
        time_s: (T,) increasing.
        q_rad: (T, k) measured joint positions.
        command_time_s: (N,) increasing: when the arm took the command up; it holds until the next one.
        command_rad: (N, k).
    """

    time_s: np.ndarray
    q_rad: np.ndarray
    command_time_s: np.ndarray
    command_rad: np.ndarray


def read_log(path: Path, profile: HardwareProfile) -> JointLog:
    """Read the profile's joint states and commands from an MCAP log, and check that they are worth fitting.

    Joint states are mapped by name and carry their header's stamp, moved onto the recorder's clock if it is another
    one. Commands have no header: theirs is the time at which they were recorded.

    Raises:
        InputError: if the file cannot be read or tells too little; it says what to record instead.
    """
    log, _ = read_recording(path, profile)
    used = (log.time_s >= 0) & (log.time_s <= log.command_time_s[-1] + HOLD_S)
    log = log._replace(time_s=log.time_s[used], q_rad=log.q_rad[used])
    check_log(log, profile.joints, path)
    return on_ticks(log)


def read_recording(path: Path, profile: HardwareProfile) -> tuple[JointLog, int]:
    """All of an MCAP file, whatever it can tell, and the recorder's time at its first command, ns: the log's zero.

    Raises:
        InputError: if the file cannot be read, or holds no joint states or commands.
    """
    states, commands = _messages(path, profile)
    if not states or not commands:
        missing = profile.topics.joint_states if not states else profile.topics.command
        fix = "record joint states and commands, as `rlaas deploy` and `rlaas calibrate excite` do"
        raise InputError(f"no message on {missing}", file=path, fix=fix)
    log_ns, stamp_ns = (np.array([state[i] for state in states]) for i in (0, 1))
    q = np.array([by_name(message, profile, path)[0] for _, _, message in states])
    command_ns, command = (np.array(column) for column in zip(*commands))
    zero_ns = int(command_ns.min())
    time_s, q = _increasing(_one_clock(log_ns, stamp_ns) - zero_ns, q)
    command_time_s, command = _increasing(command_ns - zero_ns, command)
    return JointLog(time_s, q, command_time_s, command), zero_ns


def check_log(log: JointLog, joints: tuple[str, ...], path: Path | None = None) -> None:
    """Refuse a log that cannot tell what a fit would ask of it.

    Raises:
        InputError: naming the first fault, and what to record instead.
    """
    for name, times, values in (
        ("joint states", log.time_s, log.q_rad),
        ("commands", log.command_time_s, log.command_rad),
    ):
        _check_stream(name, times, values, path)
    span = np.ptp(log.q_rad, axis=0)
    still = [f"{joint} ({value:.4f} rad)" for joint, value in zip(joints, span) if value < MIN_RANGE_RAD]
    if still:
        raise InputError(f"these joints hold a constant pose: {', '.join(still)}", file=path, fix=EXCITE)
    turns = [reversals(column) for column in log.q_rad.T]
    few = [f"{joint} ({count})" for joint, count in zip(joints, turns) if count < MIN_REVERSALS]
    if few:
        message = f"too few velocity reversals, {MIN_REVERSALS} are needed in every joint: {', '.join(few)}"
        raise InputError(message, file=path, fix=f"{EXCITE}: friction only shows where a joint changes direction")


def reversals(position: np.ndarray) -> int:
    """How often a position (T,), rad, changes direction by more than noise does."""
    count, direction, extreme = 0, 0, position[0]
    for value in position:
        if direction == 0:
            direction = int(np.sign(value - extreme)) if abs(value - extreme) > TURN_RAD else 0
            extreme = value if direction else extreme
        elif (value - extreme) * direction > 0:
            extreme = value
        elif (extreme - value) * direction > TURN_RAD:
            count, direction, extreme = count + 1, -direction, value
    return count


def _check_stream(name: str, time_s: np.ndarray, values: np.ndarray, path: Path | None) -> None:
    if len(time_s) < MIN_SAMPLES:
        raise InputError(f"{len(time_s)} {name}; at least {MIN_SAMPLES} are needed", file=path, fix=EXCITE)
    if not np.isfinite(values).all():
        raise InputError(f"the {name} hold values that are not finite", file=path, fix=EXCITE)
    gaps = np.diff(time_s)
    rate = 1.0 / np.median(gaps)
    if rate < MIN_RATE_HZ:
        message = f"{name} at {rate:.1f} Hz; at least {MIN_RATE_HZ:.0f} Hz are needed to see a servo's lag"
        raise InputError(message, file=path, fix="record them at 100 Hz or more")
    worst = int(np.argmax(gaps))
    if gaps[worst] > MAX_GAP_S:
        message = f"no {name} for {gaps[worst]:.2f} s, {time_s[worst]:.2f} s after the start; {MAX_GAP_S} s are allowed"
        raise InputError(message, file=path, fix="record again, on a less busy machine or network")


def read_states(path: Path, profile: HardwareProfile) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The profile's joint states of an MCAP file: times (T,), ns, positions, velocities and efforts (T, k).

    What a message leaves out is nan. The effort is what the driver makes of it: ur_robot_driver reports motor currents.

    Raises:
        InputError: if the file cannot be read or holds no joint states.
    """
    states = _messages(path, profile)[0]
    if not states:
        raise InputError(f"no message on {profile.topics.joint_states}", file=path, fix=EXCITE)
    times = _one_clock(np.array([at for at, _, _ in states]), np.array([stamp for _, stamp, _ in states]))
    columns = (by_name(message, profile, path) for _, _, message in states)
    position, velocity, effort = (np.array(column) for column in zip(*columns))
    return times, position, velocity, effort


def _messages(path: Path, profile: HardwareProfile) -> tuple[list[Any], list[Any]]:
    """Joint states as (log time, stamp, message) and commands as (log time, positions), times in ns."""
    states, commands = profile.topics.joint_states, profile.command_topics
    found = read_topics(path, (states, *commands))
    sent = next((found[topic] for topic in commands if found[topic]), [])
    return (
        [(at, _stamp_ns(message), message) for at, message in found[states]],
        [(at, _command(message, profile, path)) for at, message in sent],
    )


def read_topics(path: Path, topics: Sequence[str], first: bool = False) -> dict[str, list[tuple[int, Any]]]:
    """What a log holds on each of these topics: (log time, ns, message) in the order of time.

    A file that was cut off is read as far as it is whole; `bag.lost` says what is missing.

    Args:
        path: of an MCAP file, or of a directory of several: see `bag.mcap_files`. They are one log, in the order of
            the times at which their messages were sent; what lies between two of them is a gap like any other.
        topics: names.
        first: only the very first message of each file.

    Raises:
        InputError: if a file cannot be read or is damaged, or two files of a directory are of the same time.
    """
    parts = {file: _read_file(file, topics, first) for file in mcap_files(path)}
    spans = {file: [sent for messages in part.values() for _, sent, _ in messages] for file, part in parts.items()}
    order = sorted((file for file in parts if spans[file]), key=lambda file: min(spans[file]))
    for one, other in pairwise(order):
        if max(spans[one]) - min(spans[other]) > OVERLAP_S * 1e9:
            message = f"{one.name} and {other.name} were recorded at the same time: they are not parts of one log"
            raise InputError(message, file=path, fix="name one recording")
    found = {topic: [(at, message) for file in order for at, _, message in parts[file][topic]] for topic in topics}
    return {topic: sorted(messages, key=itemgetter(0)) for topic, messages in found.items()}


def _read_file(path: Path, topics: Sequence[str], first: bool) -> dict[str, list[Logged]]:
    from mcap.reader import make_reader
    from mcap_ros2.decoder import DecoderFactory

    if is_cut(path):
        return read_cut(path, topics, first)
    found: dict[str, list[Logged]] = {topic: [] for topic in topics}
    try:
        with path.open("rb") as file:
            reader = make_reader(file, validate_crcs=True, decoder_factories=[DecoderFactory()])
            for _, channel, message, content in reader.iter_decoded_messages(topics=list(topics)):
                found[channel.topic].append(Logged(message.log_time, message.publish_time, content))
                if first:
                    break
    except OSError as error:
        raise InputError(f"cannot read the file ({error})", file=path) from error
    except Exception as error:  # decoders and decompressors raise whatever they like
        message = f"no MCAP file, or a damaged one ({type(error).__name__})"
        raise InputError(message, file=path, fix="record again, and let the recorder close the file") from error
    return found


def start_ns(path: Path, profile: HardwareProfile) -> int:
    """When the first joint state of an MCAP file was logged, ns; zero where there is none.

    Raises:
        InputError: if the file cannot be read.
    """
    topic = profile.topics.joint_states
    states = read_topics(path, (topic,), first=True)[topic]
    return states[0][0] if states else 0


def _stamp_ns(message: Any) -> int:
    stamp = message.header.stamp
    return stamp.sec * 10**9 + stamp.nanosec


def by_name(message: Any, profile: HardwareProfile, path: Path) -> tuple[list[float], list[float], list[float]]:
    """Positions, velocities and efforts of a joint state, in the profile's order; nan where it states none.

    Raises:
        InputError: if it lacks one of the profile's joints.
    """
    at = {name: i for i, name in enumerate(message.name)}
    missing = [joint for joint in profile.joints if joint not in at]
    if missing:
        text = f"{profile.topics.joint_states} lacks {', '.join(missing)}; it has {', '.join(message.name)}"
        raise InputError(text, file=path, fix="name the hardware profile of the arm that was recorded")

    def picked(values: Any) -> list[float]:
        return [values[at[joint]] if len(values) else np.nan for joint in profile.joints]

    return picked(message.position), picked(message.velocity), picked(message.effort)


def _command(message: Any, profile: HardwareProfile, path: Path) -> list[float]:
    """The joint positions of a command."""
    values = list(message.data) if hasattr(message, "data") else _setpoint(message, profile, path)
    if len(values) != len(profile.joints):
        text = f"{profile.topics.command} has {len(values)} values; {len(profile.joints)} joints need one each"
        raise InputError(text, file=path, fix="name the hardware profile of the arm that was recorded")
    return values


def _setpoint(message: Any, profile: HardwareProfile, path: Path) -> list[float]:
    """Where a trajectory leads to first. `deploy.chunk` makes one of each setpoint; its first point is due at once."""
    begins = message.points[0].time_from_start if len(message.points) > 1 else None
    if begins is None or begins.sec or begins.nanosec:
        text = f"{profile.topics.command} has whole motions, not one setpoint after the other"
        raise InputError(text, file=path, fix="record what `rlaas deploy` or `rlaas calibrate excite` sends")
    at = dict(zip(message.joint_names, message.points[1].positions))
    return [at[joint] for joint in profile.joints if joint in at]


def _one_clock(log_ns: np.ndarray, stamp_ns: np.ndarray) -> np.ndarray:
    """The stamps on the recorder's clock: as they are, or, from another clock, moved by the shortest way it took."""
    late = log_ns - stamp_ns
    if np.all(stamp_ns == 0):
        return log_ns
    return stamp_ns if 0 <= np.median(late) < SAME_CLOCK_S * 1e9 else stamp_ns + late.min()


def on_ticks(log: JointLog) -> JointLog:
    """Commands as of the arm's ticks, when it states its joints about as often as it is commanded, or oftener.

    A ros2_control loop states the joints and takes up the newest command in one tick. A command waits for the next
    tick, as long as two clocks happen to be apart in a session; left in the commands, that wait would pass for delay.
    """
    if np.median(np.diff(log.time_s)) > 1.1 * np.median(np.diff(log.command_time_s)):
        return log
    newest = np.searchsorted(log.command_time_s, log.time_s, side="right") - 1
    return log._replace(command_time_s=log.time_s, command_rad=log.command_rad[np.maximum(newest, 0)])


def _increasing(time_ns: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """In order of time, one value per instant; times in s."""
    time_ns, first = np.unique(time_ns, return_index=True)
    return time_ns * 1e-9, values[first]
