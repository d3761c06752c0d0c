"""Which kind of task a cell asks for."""

from robot_rlaas.cell.contract import Contract, Policy
from robot_rlaas.cell.handling import HandlingTask
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.env.handling.expert import HandlingExpert
from robot_rlaas.env.handling.task import Handling
from robot_rlaas.env.insertion.expert import InsertionExpert
from robot_rlaas.env.insertion.task import Insertion
from robot_rlaas.env.insertion.told import Told, observed
from robot_rlaas.env.task import Task


def task_of(cell: CellSpec, count: int) -> Task:
    """The task that the cell asks for, for `count` episodes side by side."""
    return Handling(cell, count) if isinstance(cell.task, HandlingTask) else Insertion(cell, count)


def contract_of(cell: CellSpec) -> Contract:
    """What goes into a policy for this cell and what comes out."""
    return task_of(cell, 1).contract


def expert_of(cell: CellSpec, contract: Contract, count: int) -> Policy:
    """The scripted expert of the cell's task, for batches of `count` rows.

    Where nobody observes the plate, it has to be told where it lies: see `BatchEnv.tell`.
    """
    if isinstance(cell.task, HandlingTask):
        return HandlingExpert(cell, contract, count)
    if not cell.task.plate.observed:
        seen = observed(cell)
        return Told(cell, InsertionExpert(seen, contract_of(seen), count))
    return InsertionExpert(cell, contract, count)
