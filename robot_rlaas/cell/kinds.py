"""What not all kinds of cells can do."""

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.insertion import InsertionTask
from robot_rlaas.cell.spec import CellSpec


def insertion_only(cell: CellSpec) -> None:
    """For what only insertion cells can do so far: bundles, deployment, calibration. They need the plate's pose.

    Raises:
        InputError: if its task is of another kind, or nobody observes its plate.
    """
    if isinstance(cell.task, InsertionTask):
        _observed(cell)
        return
    raise InputError(
        f"the cell '{cell.name}' is a {cell.task.kind} cell: so far only insertion cells go onto an arm, into a bundle "
        "or into a calibration",
        key="task.kind",
        fix="check, show, demonstrate, train and qualify it; 'rlaas run' takes --until qualify",
    )


def _observed(cell: CellSpec) -> None:
    if not cell.task.plate.observed:
        raise InputError(
            f"nobody observes the plate of the cell '{cell.name}': so far only cells that do go onto an arm, into a "
            "bundle or into a calibration",
            key="task.plate.observed",
            fix="check, show, demonstrate, train and qualify it, or leave 'observed' out",
        )
