"""What insertions and presses say of the cell: where holes and plate really were, friction, the wrist sensor's noise.

A peg that sits in its hole tells where the hole is: the tip's pose by the arm's kinematics, against the pose that the
camera stated. The difference is the camera's error and the peg's in the hand together, which no log tells apart; their
mean is a fault that can be mended, and their scatter is what the cell has to cover. A tip that slides on the plate
shows friction, and one that stands still before it begins shows the sensor's noise. A tip that was pressed on the plate
on purpose tells its height and tilt.
"""

import datetime
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import yaml

from robot_rlaas.calibrate.bag import data_file
from robot_rlaas.calibrate.contact.attempts import Attempt, Seat, read_attempts, seat
from robot_rlaas.calibrate.contact.face import fit_face
from robot_rlaas.calibrate.contact.figures import LEAST_SLIDES, figures, finding
from robot_rlaas.calibrate.contact.learned import learn
from robot_rlaas.calibrate.contact.pressed import learn_pressed, open_questions, pressed_figures
from robot_rlaas.calibrate.contact.presses import PressLog, is_press, read_press
from robot_rlaas.cell.contact import ContactFigure, ContactReport, Learned
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.files import write_atomic
from robot_rlaas.sim.model import Workcell

CONTACT = "contact.yaml"
HEAD = "# What a cell's logs say of its holes, its plate, its friction and its wrist sensor.\n"
LEAST_ATTEMPTS = 5  # that inserted


class _Said(NamedTuple):
    """What one kind of log says."""

    figures: tuple[ContactFigure, ...] = ()
    learned: tuple[Learned, ...] = ()
    undetermined: tuple[str, ...] = ()


def learn_contact(
    cell: CellSpec,
    workcell: Workcell,
    logs: Sequence[Path],
    plate_topic: str,
    motion_topic: str,
    out: Path,
    on_event: Callable[[str], None] = print,
) -> ContactReport:
    """Compare what deployments and a press logged with what the cell says, and write `contact.yaml` into `out`.

    Args:
        cell: that was deployed or pressed.
        workcell: built from it.
        logs: MCAP files of `rlaas deploy`, one of `rlaas calibrate press`, or rosbag2 directories of such recordings.
        plate_topic: on which the camera's pose of the hole was published.
        motion_topic: on which a press says what it is doing.
        out: directory.
        on_event: gets a line per finding.

    Raises:
        InputError: if the cell is for something else, a log cannot be read, or they hold too few insertions or spots.
    """
    if cell.task.kind != "insertion":
        raise InputError(f"'{cell.name}' is a cell for {cell.task.kind}: what insertions show is not in its logs")
    presses = [path for path in logs if is_press(path, motion_topic)]
    if len(presses) > 1:
        fix = "name one: in each another part may have stood out of the hand"
        raise InputError(f"{len(presses)} logs of a press", file=presses[1], fix=fix)
    deployed = [path for path in logs if path not in presses]
    attempts = [attempt for path in deployed for attempt in read_attempts(path, workcell, plate_topic)]
    files = tuple(data_file(path) for path in logs)
    if len({file.sha256 for file in files}) < len(files):
        raise InputError("the same log twice", file=logs[0], fix="name each log once")
    for line in (line for file in files for line in file.lost):
        on_event(line)
    seats = [sat for sat in (seat(cell, attempt) for attempt in attempts) if sat is not None]
    press = read_press(presses[0], workcell, plate_topic, motion_topic) if presses else None
    inserted = _insertions(cell, attempts, seats, deployed[0]) if deployed else _Said()
    pressed = _press(cell, press) if press else _Said()
    found = inserted.figures + pressed.figures
    learned = {one.name: one for one in pressed.learned + inserted.learned}  # of friction, many parts say more than one
    report = ContactReport(
        rlaas_contact=1,
        cell=cell.name,
        cell_hash=cell.hash,
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        logs=files,
        attempts=len(attempts),
        inserted=len(seats),
        pressed=len(press.spots) if press else 0,
        figures=found,
        findings=tuple(finding(figure) for figure in found if not figure.within),
        learned=tuple(learned.values()),
        undetermined=pressed.undetermined,
    )
    content = yaml.safe_dump(report.model_dump(mode="json"), sort_keys=False, width=160, allow_unicode=True)
    write_atomic(out / CONTACT, HEAD + content)
    _tell(report, on_event)
    return report


def _insertions(cell: CellSpec, attempts: Sequence[Attempt], seats: Sequence[Seat], log: Path) -> _Said:
    if len(seats) < LEAST_ATTEMPTS:
        message = f"{len(seats)} insertions in {len(attempts)} attempts; at least {LEAST_ATTEMPTS} are needed"
        raise InputError(message, file=log, fix="deploy for longer: 'rlaas deploy BUNDLE --attempts 20'")
    return _Said(figures(cell, attempts, seats), learn(cell, attempts, seats))


def _press(cell: CellSpec, log: PressLog) -> _Said:
    face = fit_face(log)
    return _Said(pressed_figures(cell, log, face), learn_pressed(cell, face), open_questions(cell, face))


def _tell(report: ContactReport, on_event: Callable[[str], None]) -> None:
    for figure in report.figures:
        allowed = f", allowed for {figure.allowed[0]:.3g} to {figure.allowed[1]:.3g}" if figure.allowed else ""
        on_event(
            f"{figure.name}: {figure.value:.3g} {figure.unit} ({figure.lower_95:.3g} to {figure.upper_95:.3g}){allowed}"
        )
    if report.attempts and not any(figure.name.startswith("friction") for figure in report.figures):
        on_event(f"friction: the tip slid on the plate in fewer than {LEAST_SLIDES} attempts")
    for one in report.learned:
        verdict = "accepted" if one.accepted else "not accepted"
        on_event(f"{one.name}: {one.value:.3g} with a deviation of {one.deviation:.2g}, {verdict}: {one.reason}")
    for text in report.undetermined:
        on_event(f"not told: {text}")
    for text in report.findings:
        on_event(f"finding: {text}")
