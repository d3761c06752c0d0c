"""Logs from elsewhere, with the faults they have."""

from pathlib import Path

import numpy as np
import pytest
from hidden_plant import Motion, write_mcap

from robot_rlaas.calibrate.drives.importer import ColumnMap, import_motion, load_columns, read_any
from robot_rlaas.calibrate.drives.motion import load, save
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.hardware import load_hardware

PROFILE = load_hardware("ur5e")
T = np.arange(0, 5, 0.01)
Q = np.sin(T[:, None] + np.arange(6))
V = np.cos(T[:, None] + np.arange(6))
MAP = """
rlaas_columns: 1
time: {column: t, unit: ms}
position: {columns: [q1, q2, q3, q4, q5, q6], unit: deg}
velocity: {columns: 8-13, unit: rad/s}
current: {columns: 14-19, unit: mA, time: {column: ti, unit: ms}}
"""
NAMES = ["t", *(f"q{i}" for i in range(1, 7)), *(f"v{i}" for i in range(1, 7)), *(f"i{i}" for i in range(1, 7)), "ti"]


@pytest.fixture
def columns(tmp_path) -> ColumnMap:
    path = tmp_path / "map.yaml"
    path.write_text(MAP)
    return load_columns(str(path))


def write(path: Path, rows: np.ndarray) -> Path:
    lines = [",".join(NAMES), *(",".join(f"{value:.9g}" for value in row) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def table(late_s: float = 0.0) -> np.ndarray:
    """Currents that follow the positions, stated on a clock of their own."""
    return np.column_stack(
        [1e3 * T, np.rad2deg(Q), V, 1e3 * np.sin(T[:, None] + late_s + np.arange(6)), 1e3 * (T + late_s)]
    )


def test_units_names_and_clocks_of_their_own(tmp_path, columns) -> None:
    log = import_motion(write(tmp_path / "log.csv", table(late_s=0.033)), PROFILE, columns, on_event=lambda _: None)
    np.testing.assert_allclose(log.time_s, T[4:], atol=1e-9)  # before that there are no currents
    np.testing.assert_allclose(log.position, Q[4:], atol=1e-6)
    assert log.current is not None
    np.testing.assert_allclose(log.current[:-10], Q[4:-10], atol=2e-3)


def test_clocks_that_share_no_time_are_refused(tmp_path, columns) -> None:
    with pytest.raises(InputError, match=r"current begins at 100\.000 s, the positions at 0\.000 s"):
        import_motion(write(tmp_path / "log.csv", table(late_s=100.0)), PROFILE, columns)


def test_joints_are_taken_by_name(tmp_path, columns) -> None:
    log = import_motion(write(tmp_path / "log.csv", table()), PROFILE, columns, on_event=lambda _: None)
    path = tmp_path / "log.parquet"
    save(log._replace(joints=log.joints[::-1]), path)
    np.testing.assert_array_equal(read_any(path, PROFILE, None, print).position, log.position[:, ::-1])
    save(log._replace(joints=("other", *log.joints[1:])), path)
    with pytest.raises(InputError, match="the log is of the joints other, shoulder_lift_joint"):
        read_any(path, PROFILE, None, print)


def test_faults_of_the_clock_are_mended_and_told(tmp_path, columns) -> None:
    rows = np.delete(table(), np.s_[100:120], axis=0)
    rows[200, 3] = np.nan
    rows[[300, 301]] = rows[[301, 300]]
    rows = np.insert(rows, 50, rows[50], axis=0)
    told: list[str] = []
    log = import_motion(write(tmp_path / "log.csv", rows), PROFILE, columns, on_event=told.append)
    assert np.all(np.diff(log.time_s) > 0)
    assert np.isfinite(log.position).all()
    text = "\n".join(told)
    for words in (
        "position: 1 rows without numbers",
        "position: 1 rows with a time that stood before",
        "out of order (sorted)",
        "1 gaps of up to 0.210 s, about 20 samples missing",
    ):
        assert words in text


def test_velocities_that_lag_are_told(tmp_path, columns) -> None:
    rows = table()
    rows[:, 7:13] = np.cos(T[:, None] - 0.03 + np.arange(6))
    told: list[str] = []
    import_motion(write(tmp_path / "log.csv", rows), PROFILE, columns, on_event=told.append)
    assert "the velocities lag the positions by 30 ms" in told


def test_velocities_are_made_where_there_are_none(tmp_path, columns) -> None:
    log = import_motion(
        write(tmp_path / "log.csv", table()),
        PROFILE,
        columns.model_copy(update={"velocity": None}),
        on_event=lambda _: None,
    )
    np.testing.assert_allclose(log.velocity[20:-20], V[20:-20], atol=0.01)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("column: t,", "column: time,", "there is no column 'time'; there are t, q1"),
        ("columns: 8-13", "columns: 8-12", "velocity has 5 columns; the arm has 6 joints"),
        ("columns: 14-19", "columns: 14-99", "current has 86 columns"),
        ("unit: mA", "unit: deg", "current.unit is A or mA, not deg"),
        ("columns: 8-13", "columns: 13-8", "a range like 2-7, not '13-8'"),
        ("rlaas_columns: 1", "rlaas_columns: 2", "rlaas_columns"),
    ],
)
def test_a_wrong_map_is_explained(tmp_path, old, new, message) -> None:
    path = tmp_path / "map.yaml"
    path.write_text(MAP.replace(old, new))
    with pytest.raises(InputError, match=message):
        import_motion(write(tmp_path / "log.csv", table()), PROFILE, load_columns(str(path)))


def test_a_word_among_numbers_is_named_with_its_line(tmp_path, columns) -> None:
    path = write(tmp_path / "log.csv", table())
    lines = path.read_text().splitlines()
    lines[7] = lines[7].replace(",", ",oops,", 1).rsplit(",", 1)[0]
    path.write_text("\n".join(lines))
    with pytest.raises(InputError, match=r"log\.csv:8: column q1 holds 'oops'"):
        import_motion(path, PROFILE, columns)


def test_what_is_no_table_is_refused(tmp_path, columns) -> None:
    with pytest.raises(InputError, match="no such file"):
        import_motion(tmp_path / "none.csv", PROFILE, columns)
    path = tmp_path / "log.parquet"
    path.write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match="cannot read the table"):
        import_motion(path, PROFILE, columns)
    with pytest.raises(InputError, match="needs a column map"):
        import_motion(path, PROFILE)
    with pytest.raises(InputError, match="import"):
        load(path)


def test_a_log_is_read_back_as_it_was_written(tmp_path, columns) -> None:
    log = import_motion(write(tmp_path / "log.csv", table()), PROFILE, columns, on_event=lambda _: None)
    save(log, tmp_path / "log.parquet")
    read = load(tmp_path / "log.parquet")
    assert read.joints == log.joints
    assert read.source == log.source
    for name in ("time_s", "position", "velocity", "current"):
        np.testing.assert_array_equal(getattr(read, name), getattr(log, name))


def test_a_bag_needs_no_map(tmp_path, workcell) -> None:
    path = write_mcap(tmp_path / "log.mcap", workcell, Motion(T, Q, Q))
    log = import_motion(path, PROFILE, on_event=lambda _: None)
    np.testing.assert_allclose(log.position, Q, atol=1e-9)
    np.testing.assert_allclose(log.velocity[20:-20], V[20:-20], atol=0.01)
    assert log.current is None


def test_an_episode_of_a_lerobot_dataset(tmp_path) -> None:
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    joints = [f"{name}.pos" for name in PROFILE.joints]
    features = {name: {"dtype": "float32", "shape": (6,), "names": joints} for name in ("observation.state", "action")}
    dataset = LeRobotDataset.create("local/log", fps=100, features=features, root=tmp_path / "set", use_videos=False)
    for episode in range(2):
        for q in Q[: 100 + 100 * episode]:
            row = np.float32(np.rad2deg(q))
            dataset.add_frame({"observation.state": row, "action": row, "task": "move"})
        dataset.save_episode()
    dataset.finalize()
    path = tmp_path / "map.yaml"
    names = ", ".join(f"observation.state.{joint}" for joint in joints)
    path.write_text(f"rlaas_columns: 1\ntime: {{column: timestamp}}\nposition: {{columns: [{names}], unit: deg}}\n")
    log = import_motion(tmp_path / "set", PROFILE, load_columns(str(path)), episode=1, on_event=lambda _: None)
    np.testing.assert_allclose(log.position, Q[:200], atol=1e-5)
    with pytest.raises(InputError, match="no episode 2"):
        import_motion(tmp_path / "set", PROFILE, load_columns(str(path)), episode=2)
