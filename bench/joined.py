"""Several cells side by side as one environment to learn in, and one cell's own policy out of what learned there."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx

from robot_rlaas.cell.contract import Contract, Feature
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.insertion import BoxPart, CylinderPart, GearPart
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.env.batch import BatchEnv, Step
from robot_rlaas.env.tasks import expert_of
from robot_rlaas.sim.draws import Draw

SHAPES = (BoxPart, CylinderPart, GearPart)
ABOUT_THE_CELL = (
    Feature("plate", ("clearance", "chamfer", "depth"), "mm", "-", 0.0, 100.0),
    Feature("timeout", ("whole",), "s", "-", 0.0, 100.0),
    Feature("part", ("box", "cylinder", "gear"), "1", "-", 0.0, 1.0),
)


def about(cell: CellSpec) -> np.ndarray:
    """What an insertion cell's policy need not be told while it knows no other cell, as ABOUT_THE_CELL says (7,).

    All of it stands in the cell file; the scripted expert reads chamfer, timeout, and shape and clearance there, too.
    """
    plate, part = cell.task.plate, cell.task.part
    shape = [float(isinstance(part, kind)) for kind in SHAPES]
    numbers = (plate.clearance_mm, plate.chamfer_mm, cell.task.depth_mm, cell.task.timeout_s)
    return np.array([*numbers, *shape], dtype=np.float32)


class Joined:
    """Environments of several cells, one below the other, in the shape that `learn` and `record` know from a BatchEnv.

    Their contracts have to be the same. With `telling`, every observation ends with what it says `about` its cell.
    Episodes are numbered through: those of the first cell are 0, k, 2 k, ... of k cells.
    """

    def __init__(self, envs: Sequence[BatchEnv], telling: bool) -> None:
        contract: Contract = envs[0].contract
        for env in envs:
            if env.contract != contract:
                message = f"{env.cell.name} and {envs[0].cell.name} have different contracts: no policy fits both"
                raise InputError(message, fix="join cells of one kind of task, one arm and one control rate")
        self.envs, self._plain = tuple(envs), contract
        told = ABOUT_THE_CELL if telling else ()
        self.contract = contract._replace(observation=contract.observation + told)
        self.nsim = sum(env.nsim for env in envs)
        self.cell = max((env.cell for env in envs), key=lambda cell: cell.horizon)  # whose episodes are the longest
        self.seeds = envs[0].seeds
        self._ends = np.cumsum([env.nsim for env in envs])[:-1]
        self._told = np.concatenate([np.tile(about(env.cell) if telling else [], (env.nsim, 1)) for env in envs])

    @property
    def observation(self) -> np.ndarray:
        """See `BatchEnv`."""
        return self._tell([env.observation for env in self.envs])

    @property
    def episode(self) -> np.ndarray:
        """See `BatchEnv`."""
        return np.concatenate([self._number(env.episode, i) for i, env in enumerate(self.envs)])

    @property
    def steps(self) -> np.ndarray:
        """See `BatchEnv`."""
        return np.concatenate([env.steps for env in self.envs])

    @property
    def draw(self) -> Draw:
        """See `BatchEnv`. What is drawn per period ends with zeros in cells with shorter episodes."""
        return Draw(*(_stacked(fields) for fields in zip(*(env.draw for env in self.envs))))

    def tell(self, policy: Any) -> None:
        """See `BatchEnv`. Every cell's plate is observed, so there is nothing to tell."""

    def reset(self) -> np.ndarray:
        """See `BatchEnv`. All begin with the same number, so that none is missing between theirs."""
        first = max(env.coming for env in self.envs)
        return self._tell([env.reset(episode=first) for env in self.envs])

    def step(self, action: np.ndarray) -> Step:
        """See `BatchEnv`."""
        steps = [env.step(part) for env, part in zip(self.envs, self.split(action))]
        whole = {name: np.concatenate([getattr(s, name) for s in steps]) for name in ("reward", "done", "truncated")}
        return Step(
            observation=self._tell([s.observation for s in steps]),
            terms={name: np.concatenate([s.terms[name] for s in steps]) for name in steps[0].terms},
            final_observation=self._tell([s.final_observation for s in steps]),
            outcomes=[o._replace(episode=self._number(o.episode, i)) for i, s in enumerate(steps) for o in s.outcomes],
            rows=np.concatenate([s.rows + first for s, first in zip(steps, (0, *self._ends))]),
            **whole,
        )

    def split(self, rows: np.ndarray) -> list[np.ndarray]:
        """Rows of all, (nsim, ...), as each environment's own."""
        return np.split(rows, self._ends)

    def plain(self, observation: np.ndarray) -> np.ndarray:
        """Observations as the cells' own contract has them."""
        return observation[:, : self._plain.observation_size]

    def _tell(self, observations: list[np.ndarray]) -> np.ndarray:
        return np.concatenate([np.concatenate(observations), self._told], axis=1, dtype=np.float32)

    def _number(self, own: Any, i: int) -> Any:
        return own * len(self.envs) + i


def _stacked(fields: tuple[np.ndarray, ...]) -> np.ndarray:
    """Arrays (n, ...) one below the other, the smaller ones filled up with zeros."""
    shape = np.max([field.shape[1:] for field in fields], axis=0, initial=0)
    gaps = [[(0, 0), *((0, int(gap)) for gap in shape - field.shape[1:])] for field in fields]
    return np.concatenate([np.pad(field, gap) for field, gap in zip(fields, gaps)])


class Experts:
    """The scripted experts of joined cells, each for its own rows."""

    def __init__(self, env: Joined) -> None:
        self._env = env
        self._experts = [expert_of(one.cell, one.contract, one.nsim) for one in env.envs]

    def reset(self, ids: np.ndarray) -> None:
        """See `Policy.reset`. An insertion's expert has no past."""

    def act(self, observation: np.ndarray) -> np.ndarray:
        """See `Policy.act`."""
        seen = self._env.split(self._env.plain(observation))
        return np.concatenate([expert.act(rows) for expert, rows in zip(self._experts, seen)])


def settled(network: bytes, known: np.ndarray) -> bytes:
    """A network whose last inputs are always `known`, as one without them: an ordinary policy for one cell.

    Args:
        network: from `learn.network.export_onnx`.
        known: (k,) values of the last k components of its observation.
    """
    model = onnx.load_model_from_string(network)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    mean, std, weight, bias = (onnx.numpy_helper.to_array(tensors[name]).copy() for name in ("mean", "std", "w0", "b0"))
    left = len(mean) - len(known)
    constant = weight[:, left:].astype(float) @ ((known.astype(float) - mean[left:]) / std[left:])
    smaller = {"mean": mean[:left], "std": std[:left], "w0": weight[:, :left], "b0": (bias + constant).astype("f4")}
    for name, array in smaller.items():
        tensors[name].CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = left
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)
