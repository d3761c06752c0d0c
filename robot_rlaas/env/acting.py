"""The environment that a policy acts in: one with pictures for a policy that sees."""

from collections.abc import Iterator
from contextlib import contextmanager

from robot_rlaas.cell.contract import Policy
from robot_rlaas.cell.seeds import Seeds
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.env.batch import BatchEnv
from robot_rlaas.sim.backend import Backend
from robot_rlaas.sim.model import Workcell
from robot_rlaas.sim.painting import GlPainter
from robot_rlaas.sim.seeing import SeeingBackend
from robot_rlaas.sim.variation import NOTHING, Beyond


@contextmanager
def env_for(
    policy: Policy,
    cell: CellSpec,
    workcell: Workcell,
    backend: Backend,
    seeds: Seeds,
    first_episode: int = 0,
    beyond: Beyond = NOTHING,
) -> Iterator[BatchEnv]:
    """A `BatchEnv` of these. For a policy with `cameras`, pictures are taken; nobody else pays for any.

    Raises:
        RenderingUnavailable: if the policy sees, and this machine cannot draw.
    """
    if not getattr(policy, "cameras", ()):
        yield BatchEnv(cell, workcell, backend, seeds, first_episode, beyond)
        return
    with SeeingBackend(backend, GlPainter(cell, workcell, backend.nsim), cell) as seeing:
        yield BatchEnv(cell, workcell, seeing, seeds, first_episode, beyond)
