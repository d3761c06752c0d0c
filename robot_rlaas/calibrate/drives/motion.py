"""A log of a motion with the currents that drove it: on disk one Parquet table, whatever it came from."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from robot_rlaas.calibrate.log import MAX_GAP_S, MIN_RANGE_RAD, MIN_RATE_HZ, MIN_REVERSALS, MIN_SAMPLES, reversals
from robot_rlaas.cell.calibration import DataFile
from robot_rlaas.cell.errors import InputError
from robot_rlaas.files import write_atomic

QUANTITIES = {"position": "rad", "velocity": "rad/s", "current": "A"}
METADATA = b"rlaas"
GAPS = 3.0  # times the median interval
RECORD = "record every joint moving back and forth over most of its range for 30 s or more, at 100 Hz or more"


class MotionLog(NamedTuple):
    """Samples of k joints, one clock.

    Attributes:
        joints: names.
        time_s: (T,) increasing, not necessarily regular; the source's clock.
        position, velocity: (T, k), rad and rad/s.
        current: (T, k), A, or None.
        source: the file that it came from.
    """

    joints: tuple[str, ...]
    time_s: np.ndarray
    position: np.ndarray
    velocity: np.ndarray
    current: np.ndarray | None
    source: DataFile

    def between(self, first: float, last: float) -> "MotionLog":
        """The part from one share of its samples to another, 0 to 1."""
        rows = slice(round(first * len(self.time_s)), round(last * len(self.time_s)))
        arrays = {name: getattr(self, name) for name in ("time_s", *QUANTITIES)}
        return self._replace(**{name: None if x is None else x[rows] for name, x in arrays.items()})


def save(log: MotionLog, path: Path) -> None:
    """Write a log as Parquet: a column per joint and quantity, what they are in the schema's metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {"time_s": log.time_s}
    for quantity in QUANTITIES:
        values = getattr(log, quantity)
        if values is not None:
            columns |= {f"{quantity}.{joint}": values[:, j] for j, joint in enumerate(log.joints)}
    about = {"rlaas_motion": 1, "joints": log.joints, "units": QUANTITIES, "source": log.source.model_dump()}
    table = pa.table(columns).replace_schema_metadata({METADATA: json.dumps(about)})
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer)
    write_atomic(path, buffer.getvalue().to_pybytes())


def load(path: Path) -> MotionLog:
    """The inverse of `save`.

    Raises:
        InputError: if the file is something else.
    """
    need_tables()
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        about = json.loads((table.schema.metadata or {})[METADATA])
        joints = tuple(about["joints"])

        def read(quantity: str) -> np.ndarray:
            return np.stack([table[f"{quantity}.{joint}"].to_numpy() for joint in joints], axis=1)

        return MotionLog(
            joints=joints,
            time_s=table["time_s"].to_numpy(),
            position=read("position"),
            velocity=read("velocity"),
            current=read("current") if f"current.{joints[0]}" in table.column_names else None,
            source=DataFile(**about["source"]),
        )
    except OSError as error:
        raise InputError(f"cannot read the file ({error})", file=path) from error
    except (pa.ArrowInvalid, KeyError, ValueError, TypeError) as error:
        message = f"not a motion log ({type(error).__name__}: {error})"
        raise InputError(message, file=path, fix="make one with 'rlaas calibrate import'") from error


def need_tables() -> None:
    """Raises:
    InputError: where pandas and pyarrow are not installed.
    """
    if find_spec("pandas") is None or find_spec("pyarrow") is None:
        raise InputError("motion logs need pandas and pyarrow", fix="pip install 'robot_rlaas[train]'")


def check(log: MotionLog, path: Path | str) -> np.ndarray:
    """Refuse a log that cannot tell what a fit would ask of it.

    Returns:
        The measured currents (T, k), A.

    Raises:
        InputError: naming the fault, and what to record instead.
    """
    if log.current is None:
        raise InputError("the log holds no motor currents", file=path, fix="import it with a column map that has them")
    usable(log, path)
    turns = [reversals(column) for column in log.position.T]
    faults = [
        f"{joint} keeps one pose ({span:.4f} rad)" if span < MIN_RANGE_RAD else f"{joint} turns round {count} times"
        for joint, span, count in zip(log.joints, np.ptp(log.position, axis=0), turns)
        if span < MIN_RANGE_RAD or count < MIN_REVERSALS
    ]
    if faults:
        seconds = log.time_s[-1] - log.time_s[0]
        message = (
            f"too little motion in the {seconds:.0f} s that are fitted; each joint must turn {MIN_REVERSALS} times"
        )
        raise InputError(f"{message}: {', '.join(faults)}", file=path, fix=RECORD)
    return log.current


def usable(log: MotionLog, path: Path | str) -> None:
    """Refuse a log that is too short, too slow or has holes in it.

    Raises:
        InputError: naming the fault, and what to record instead.
    """
    if len(log.time_s) < MIN_SAMPLES:
        raise InputError(f"{len(log.time_s)} samples; at least {MIN_SAMPLES} are needed", file=path, fix=RECORD)
    rate = 1.0 / np.median(np.diff(log.time_s))
    if rate < MIN_RATE_HZ:
        raise InputError(f"{rate:.1f} Hz; at least {MIN_RATE_HZ:.0f} Hz are needed", file=path, fix=RECORD)
    gaps = np.diff(log.time_s)
    if gaps.max() > MAX_GAP_S:
        at = log.time_s[int(gaps.argmax())]
        message = f"nothing for {gaps.max():.2f} s from {at:.3f} s on; {MAX_GAP_S} s are allowed"
        raise InputError(message, file=path, fix="cut the log there, or record again")


def describe(log: MotionLog) -> list[str]:
    """What a person should know of the timing, a line each."""
    gaps = np.diff(log.time_s)
    median = float(np.median(gaps))
    low, high = np.percentile(gaps, [1, 99])
    lines = [
        f"{len(log.time_s)} samples in {log.time_s[-1] - log.time_s[0]:.1f} s, {1 / median:.1f} Hz; "
        f"98 % of intervals {1000 * low:.1f} to {1000 * high:.1f} ms"
    ]
    long = gaps > GAPS * median
    if long.any():
        missing = round(float((gaps[long] / median - 1).sum()))
        lines.append(f"{long.sum()} gaps of up to {gaps.max():.3f} s, about {missing} samples missing")
    return lines
