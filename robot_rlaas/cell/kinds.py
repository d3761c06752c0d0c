"""What not all kinds of cells can do."""

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.handling import HandlingTask
from robot_rlaas.cell.hardware import load_hardware
from robot_rlaas.cell.insertion import InsertionTask
from robot_rlaas.cell.spec import CellSpec


def insertion_only(cell: CellSpec) -> None:
    """For what only insertion cells can do so far: demonstrations on an arm, and calibration. They need the plate's
    pose.

    Raises:
        InputError: if its task is of another kind, or nobody observes its plate.
    """
    if isinstance(cell.task, InsertionTask):
        _observed(cell)
        return
    raise InputError(
        f"the cell '{cell.name}' is a {cell.task.kind} cell: so far only insertion cells are demonstrated on an arm or "
        "calibrated by what they do",
        key="task.kind",
        fix="demonstrate it in simulation, train, qualify and deploy it; 'rlaas run' takes --until deploy, and its arm "
        "alone 'rlaas calibrate arm --arm real'",
    )


def deployable(cell: CellSpec) -> None:
    """For a bundle and for what it does on an arm: somebody observes what it is about, and something grips it.

    Raises:
        InputError: if nobody observes an insertion cell's plate, or a handling cell's arm has no gripper to be told.
    """
    if not isinstance(cell.task, HandlingTask):
        _observed(cell)
    else:
        _ = load_hardware(cell.robot.hardware).moved_gripper


def _observed(cell: CellSpec) -> None:
    if not cell.task.plate.observed:
        raise InputError(
            f"nobody observes the plate of the cell '{cell.name}': so far only cells that do go onto an arm, into a "
            "bundle or into a calibration",
            key="task.plate.observed",
            fix="check, show, demonstrate, distill and qualify it, or leave 'observed' out: cameras do not go onto an "
            "arm yet",
        )
