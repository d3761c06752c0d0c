"""What insertions say of the cell: where holes really were, friction, and the wrist sensor's noise.

A peg that sits in its hole tells where the hole is: the tip's pose by the arm's kinematics, against the pose that the
camera stated. The difference is the camera's error and the peg's in the hand together, which no log tells apart; their
mean is a fault that can be mended, and their scatter is what the cell has to cover. A tip that slides on the plate
shows friction, and one that stands still before it begins shows the sensor's noise.
"""

import datetime
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml

from robot_rlaas.calibrate.bag import data_file
from robot_rlaas.calibrate.contact.attempts import read_attempts, seat
from robot_rlaas.calibrate.contact.figures import LEAST_SLIDES, figures, finding
from robot_rlaas.calibrate.contact.learned import learn
from robot_rlaas.cell.contact import ContactReport
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.files import write_atomic
from robot_rlaas.sim.model import Workcell

CONTACT = "contact.yaml"
HEAD = "# What a cell's logs say of its holes, its friction and its wrist sensor.\n"
LEAST_ATTEMPTS = 5  # that inserted


def learn_contact(
    cell: CellSpec,
    workcell: Workcell,
    logs: Sequence[Path],
    plate_topic: str,
    out: Path,
    on_event: Callable[[str], None] = print,
) -> ContactReport:
    """Compare what deployments logged with what the cell says, and write `contact.yaml` into `out`.

    Args:
        cell: that was deployed.
        workcell: built from it.
        logs: MCAP files of `rlaas deploy`, or rosbag2 directories of such a recording.
        plate_topic: on which the camera's pose of the hole was published.
        out: directory.
        on_event: gets a line per finding.

    Raises:
        InputError: if the cell is for something else, a log cannot be read, or they hold too few insertions.
    """
    if cell.task.kind != "insertion":
        raise InputError(f"'{cell.name}' is a cell for {cell.task.kind}: what insertions show is not in its logs")
    attempts = [attempt for path in logs for attempt in read_attempts(path, workcell, plate_topic)]
    files = tuple(data_file(path) for path in logs)
    if len({file.sha256 for file in files}) < len(files):
        raise InputError("the same log twice", file=logs[0], fix="name each log once")
    seats = [sat for sat in (seat(cell, attempt) for attempt in attempts) if sat is not None]
    if len(seats) < LEAST_ATTEMPTS:
        message = f"{len(seats)} insertions in {len(attempts)} attempts; at least {LEAST_ATTEMPTS} are needed"
        raise InputError(message, file=logs[0], fix="deploy for longer: 'rlaas deploy BUNDLE --attempts 20'")
    found = figures(cell, attempts, seats)
    report = ContactReport(
        rlaas_contact=1,
        cell=cell.name,
        cell_hash=cell.hash,
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        logs=files,
        attempts=len(attempts),
        inserted=len(seats),
        figures=found,
        findings=tuple(finding(figure) for figure in found if not figure.within),
        learned=learn(cell, attempts, seats),
    )
    content = yaml.safe_dump(report.model_dump(mode="json"), sort_keys=False, width=160, allow_unicode=True)
    write_atomic(out / CONTACT, HEAD + content)
    _tell(report, on_event)
    return report


def _tell(report: ContactReport, on_event: Callable[[str], None]) -> None:
    for figure in report.figures:
        low, high = figure.allowed
        on_event(
            f"{figure.name}: {figure.value:.3g} {figure.unit} ({figure.lower_95:.3g} to {figure.upper_95:.3g}), "
            f"allowed for {low:.3g} to {high:.3g}"
        )
    if not any(figure.name.startswith("friction") for figure in report.figures):
        on_event(f"friction: the tip slid on the plate in fewer than {LEAST_SLIDES} attempts")
    for one in report.learned:
        verdict = "accepted" if one.accepted else "not accepted"
        on_event(f"{one.name}: {one.value:.3g} with a deviation of {one.deviation:.2g}, {verdict}: {one.reason}")
    for text in report.findings:
        on_event(f"finding: {text}")
