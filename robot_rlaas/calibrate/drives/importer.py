"""Logs from elsewhere: CSV and Parquet tables, LeRobot datasets and MCAP files become motion logs.

A column map says which columns hold what. Quantities may have clocks of their own: all are brought to the positions'.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator
from scipy.interpolate import make_smoothing_spline

from robot_rlaas.assets import data_dir, find
from robot_rlaas.calibrate.bag import data_file, is_bag
from robot_rlaas.calibrate.drives.motion import QUANTITIES, MotionLog, describe, load, need_tables
from robot_rlaas.calibrate.log import read_states
from robot_rlaas.cell.calibration import DataFile
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.hardware import HardwareProfile
from robot_rlaas.cell.strict_yaml import Spec, load_spec

TO_SI = {
    "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9,
    "rad": 1.0, "deg": np.pi / 180, "rad/s": 1.0, "deg/s": np.pi / 180,
    "A": 1.0, "mA": 1e-3,
}  # fmt: skip
Column = Annotated[int, Field(ge=1)] | str
LAGS_S = np.arange(-0.05, 0.0501, 0.002)


class Clock(Spec):
    """Where the time stands: a column's number, from 1, or its name."""

    column: Column
    unit: Literal["s", "ms", "us", "ns"] = "s"


class Quantity(Spec):
    """One column per joint in the hardware profile's order: a range of numbers like 2-7, or a list."""

    columns: tuple[Column, ...] | str
    unit: Literal["rad", "deg", "rad/s", "deg/s", "A", "mA"]
    time: Clock | None = None

    @model_validator(mode="after")
    def _range(self) -> "Quantity":
        if isinstance(self.columns, str):
            first, dash, last = self.columns.partition("-")
            if not (dash and first.isdigit() and last.isdigit() and 0 < int(first) <= int(last)):
                raise ValueError(f"columns is a list or a range like 2-7, not '{self.columns}'")
        return self

    @property
    def each(self) -> tuple[Column, ...]:
        """The columns, one per joint."""
        if isinstance(self.columns, str):
            first, last = self.columns.split("-")
            return tuple(range(int(first), int(last) + 1))
        return self.columns


class ColumnMap(Spec):
    """A whole column map file. The header's line, if there is one, gives names to the columns."""

    rlaas_columns: Literal[1]
    description: str = ""
    header: bool = True
    separator: Literal[",", ";", "\t", " "] = ","
    time: Clock
    position: Quantity
    velocity: Quantity | None = None
    current: Quantity | None = None

    @model_validator(mode="after")
    def _units(self) -> "ColumnMap":
        for name, unit in QUANTITIES.items():
            quantity = getattr(self, name)
            allowed = {"rad": ("rad", "deg"), "rad/s": ("rad/s", "deg/s"), "A": ("A", "mA")}[unit]
            if quantity and quantity.unit not in allowed:
                raise ValueError(f"{name}.unit is {' or '.join(allowed)}, not {quantity.unit}")
        return self


def load_columns(reference: str) -> ColumnMap:
    """The column map of a shipped name or of a path."""
    return load_spec(find(reference, data_dir("hardware") / "columns", ".yaml"), ColumnMap)


def import_motion(
    path: Path,
    profile: HardwareProfile,
    columns: ColumnMap | None = None,
    episode: int = 0,
    on_event: Callable[[str], None] = print,
) -> MotionLog:
    """Read a log and say what its clock is like.

    Args:
        path: a CSV or Parquet table, a LeRobot dataset's directory, an MCAP file or a directory of them, of rosbag2 or
            not: they are one log, in the order of time.
        profile: of the arm that was logged: names and number of its joints.
        columns: what the table's columns mean; MCAP files need none.
        episode: of a LeRobot dataset. An MCAP file's efforts are taken for currents, A, as ur_robot_driver states them.

    Raises:
        InputError: with file, line and value.
    """
    if not path.exists():
        raise InputError("there is no such file", file=path)
    if path.suffix == ".mcap" or is_bag(path):
        time_ns, position, velocity, effort = read_states(path, profile)
        streams = {"position": position, "velocity": velocity, "current": effort}
        streams = {name: None if np.isnan(values).all() else values for name, values in streams.items()}
        clocks = dict.fromkeys(streams, time_ns * 1e-9)
    else:
        if columns is None:
            raise InputError("a table needs a column map", file=path, fix="--columns MAP; see hardware/columns/")
        streams, clocks = _mapped(path, _table(path, columns, episode), columns, len(profile.joints))
    source = data_file(path)
    for line in source.lost:
        on_event(line)
    log = _one_clock(path, profile.joints, clocks, streams, source, on_event)
    for line in describe(log):
        on_event(line)
    return log


def _table(path: Path, columns: ColumnMap, episode: int) -> Any:
    need_tables()
    import pandas as pd

    try:
        if path.is_dir():
            return _lerobot_table(path, episode)
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        header = 0 if columns.header else None
        return pd.read_csv(path, sep=columns.separator, header=header, skipinitialspace=True, encoding="utf-8-sig")
    except InputError:
        raise
    except (OSError, ValueError, KeyError) as error:  # pandas' errors of parsing are ValueErrors
        raise InputError(f"cannot read the table ({error})", file=path) from error


def _lerobot_table(folder: Path, episode: int) -> Any:
    """One episode of a LeRobotDataset v3, vectors spread over a column per name."""
    import json

    import pandas as pd

    features = json.loads((folder / "meta" / "info.json").read_text())["features"]
    frames = pd.concat([pd.read_parquet(file) for file in sorted(folder.glob("data/*/*.parquet"))])
    frames = frames[frames["episode_index"] == episode]
    if frames.empty:
        raise InputError(f"there is no episode {episode}", file=folder)
    columns = {"timestamp": frames["timestamp"].to_numpy()}
    for name, feature in features.items():
        if feature["dtype"].startswith("float") and len(feature["shape"]) == 1 and name in frames:
            values = np.array(frames[name].to_list()).reshape(len(frames), -1)
            names = feature.get("names") or range(values.shape[1])
            names = [one for group in names.values() for one in group] if isinstance(names, dict) else names
            columns |= {f"{name}.{part}": values[:, i] for i, part in enumerate(names)}
    return pd.DataFrame(columns)


def _mapped(path: Path, table: Any, columns: ColumnMap, joints: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    streams, clocks = {}, {}
    for name in QUANTITIES:
        quantity: Quantity | None = getattr(columns, name)
        if quantity is None:
            streams[name] = None
            continue
        if len(quantity.each) != joints:
            raise InputError(f"{name} has {len(quantity.each)} columns; the arm has {joints} joints", file=path)
        clock = quantity.time or columns.time
        clocks[name] = _column(path, table, clock.column, columns.header) * TO_SI[clock.unit]
        values = [_column(path, table, column, columns.header) for column in quantity.each]
        streams[name] = np.stack(values, axis=1) * TO_SI[quantity.unit]
    return streams, clocks


def _column(path: Path, table: Any, column: Column, header: bool) -> np.ndarray:
    if isinstance(column, int):
        if column > table.shape[1]:
            raise InputError(f"there is no column {column}; the table has {table.shape[1]}", file=path)
        series = table.iloc[:, column - 1]
    elif column in table.columns:
        series = table[column]
    else:
        names = ", ".join(map(str, list(table.columns)[:40]))
        raise InputError(f"there is no column '{column}'; there are {names}", file=path)
    try:
        return series.to_numpy(float)
    except (ValueError, TypeError) as error:
        bad = next(i for i, value in enumerate(series) if not _is_number(value))
        message = f"column {column} holds '{series.iloc[bad]}', which is not a number"
        raise InputError(message, file=path, line=bad + (2 if header else 1)) from error


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (ValueError, TypeError):
        return False
    return True


def _one_clock(
    path: Path,
    joints: tuple[str, ...],
    clocks: dict[str, np.ndarray],
    streams: dict[str, Any],
    source: DataFile,
    on_event: Callable[[str], None],
) -> MotionLog:
    """Every quantity at the times of the positions, as long as all of them are there."""
    sorted_of = {name: _sorted(path, name, clocks[name], v, on_event) for name, v in streams.items() if v is not None}
    if "position" not in sorted_of or len(sorted_of["position"].time_s) < 10:
        raise InputError("hardly any positions", file=path)
    time_s, position = sorted_of["position"]
    for name, (own_s, _) in sorted_of.items():
        shared = (time_s <= own_s[-1]) & (time_s >= own_s[0])
        if not shared.any():
            begin = f"{name} begins at {own_s[0]:.3f} s, the positions at {time_s[0]:.3f} s"
            raise InputError(f"two clocks share no time: {begin}", file=path, fix="give all quantities one clock")
        time_s, position = time_s[shared], position[shared]
    velocity = _velocity(time_s, position, sorted_of.get("velocity"), on_event)
    current = _at(time_s, *sorted_of["current"]) if "current" in sorted_of else None
    return MotionLog(joints, time_s, position, velocity, current, source)


class _Stream(NamedTuple):
    """A quantity with a clock of its own: (T,) s and (T, k)."""

    time_s: np.ndarray
    values: np.ndarray


def _sorted(path: Path, name: str, time_s: np.ndarray, values: np.ndarray, on_event: Callable[[str], None]) -> _Stream:
    """A quantity in the order of its clock, one row per instant, without the rows that lack a number."""
    rows = np.isfinite(values).all(axis=1) & np.isfinite(time_s)
    if not rows.any():
        raise InputError(f"there is no number in the columns of {name}", file=path)
    instants, first = np.unique(time_s[rows], return_index=True)
    lost = {
        "without numbers": int((~rows).sum()),
        "with a time that stood before": int(rows.sum() - len(instants)),
        "out of order (sorted)": int((np.diff(time_s[rows]) < 0).sum()),
    }
    for fault, count in lost.items():
        if count:
            on_event(f"{name}: {count} rows {fault}")
    return _Stream(instants, values[rows][first])


def _velocity(
    time_s: np.ndarray, position: np.ndarray, logged: _Stream | None, on_event: Callable[[str], None]
) -> np.ndarray:
    """At the times of the positions (T, k): as logged, or as the positions say."""
    if logged is None:
        on_event("no velocities: made from a smoothing spline through the positions")
        splines = [make_smoothing_spline(time_s, column, lam=_smoothing(time_s)) for column in position.T]
        return np.stack([spline.derivative()(time_s) for spline in splines], axis=1)
    velocity = _at(time_s, *logged)
    lag = _lag_s(time_s, position, velocity)
    if LAGS_S[0] < lag < LAGS_S[-1] and abs(lag) > 0.5 * np.median(np.diff(time_s)):
        on_event(f"the velocities lag the positions by {1000 * lag:.0f} ms")
    return velocity


def _at(time_s: np.ndarray, own_s: np.ndarray, values: np.ndarray) -> np.ndarray:
    if len(own_s) == len(time_s) and np.array_equal(own_s, time_s):
        return values
    return np.stack([np.interp(time_s, own_s, column) for column in values.T], axis=1)


def _smoothing(time_s: np.ndarray) -> float:
    """A spline's penalty that passes about 10 Hz: (2 pi f)^-4 against the sampling's density."""
    return float((2 * np.pi * 10) ** -4 / np.median(np.diff(time_s)))


def _lag_s(time_s: np.ndarray, position: np.ndarray, velocity: np.ndarray) -> float:
    """By how much the velocities come later than the slope of the positions."""
    middle, slope = (time_s[1:] + time_s[:-1]) / 2, np.diff(position, axis=0) / np.diff(time_s)[:, None]
    errors = [np.sum((_at(middle + lag, time_s, velocity) - slope) ** 2) for lag in LAGS_S]
    return float(LAGS_S[int(np.argmin(errors))])


def read_any(
    path: Path, profile: HardwareProfile, columns: ColumnMap | None, on_event: Callable[[str], None]
) -> MotionLog:
    """A motion log, or anything that can be imported as one, with the joints in the profile's order."""
    log = load(path) if path.suffix == ".parquet" else import_motion(path, profile, columns, on_event=on_event)
    if set(log.joints) != set(profile.joints):
        message = f"the log is of the joints {', '.join(log.joints)}; the arm has {', '.join(profile.joints)}"
        raise InputError(message, file=path, fix="name the hardware profile of the arm that was logged")
    order = [log.joints.index(joint) for joint in profile.joints]
    arrays = {name: getattr(log, name) for name in QUANTITIES}
    return log._replace(
        joints=profile.joints, **{name: None if x is None else x[:, order] for name, x in arrays.items()}
    )
