"""The stages, wired together: each takes artefacts from disk and leaves one there."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from robot_rlaas.cell.extends import naming_lines
from robot_rlaas.cell.hardware import AS_THE_PROFILE_SAYS, Line
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import CellSpec, cell_path, load_cell
from robot_rlaas.files import staged_dir

if TYPE_CHECKING:
    from robot_rlaas.bundle import Bundle, Trust
    from robot_rlaas.bundle.keys import PrivateKey
    from robot_rlaas.cell.contract import Policy
    from robot_rlaas.env.batch import BatchEnv
    from robot_rlaas.learn.recipe import Recipe
    from robot_rlaas.sim.model import Workcell


class Watch(Protocol):
    """Whoever shows what happens."""

    def say(self, text: str) -> None:
        """One line that stays."""
        ...

    def bar(self, text: str, done: float, total: float) -> None:
        """How far the present work is."""
        ...


class Result(NamedTuple):
    """What a stage has to say: one line, and whether it met what was required of it."""

    text: str
    passed: bool = True


@dataclass(frozen=True)
class Cell:
    """A checked cell and the environments made from it."""

    spec: CellSpec
    workcell: "Workcell"
    path: Path

    @staticmethod
    def load(reference: str) -> "Cell":
        """By shipped name or path; compiled but not checked."""
        from robot_rlaas.sim.model import build

        spec, path = load_cell(reference), cell_path(reference)
        with naming_lines(path):
            return Cell(spec, build(spec), path)

    def env(
        self,
        simulations: int,
        seeds: Seeds,
        first: int = 0,
        widen: float = 1.0,
        simulator: str = "cpu",
        order: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> "BatchEnv":
        """A batched environment. `widen` as in `widened`, `simulator` as in `backend_of`, `order` as in `BatchEnv`."""
        from robot_rlaas.env.batch import BatchEnv
        from robot_rlaas.sim.backends import backend_of

        spec = widened(self.spec, widen)
        backend = backend_of(simulator, self.workcell, spec, simulations)
        return BatchEnv(spec, self.workcell, backend, seeds, first, order=order)

    @contextmanager
    def seeing_env(
        self, simulations: int, seeds: Seeds, first: int = 0, widen: float = 1.0, simulator: str = "cpu"
    ) -> Iterator["BatchEnv"]:
        """As `env`, with a `sim.seeing.SeeingBackend`, which has the pictures of the cell's cameras.

        Raises:
            InputError: if the cell has no cameras.
            RenderingUnavailable: if this machine cannot draw.
        """
        from robot_rlaas.env.batch import BatchEnv
        from robot_rlaas.sim.backends import seeing_backend_of

        spec = widened(self.spec, widen)
        with seeing_backend_of(simulator, self.workcell, spec, simulations) as backend:
            yield BatchEnv(spec, self.workcell, backend, seeds, first)

    def env_for(
        self, policy: "Policy", simulations: int, seeds: Seeds, simulator: str = "cpu"
    ) -> AbstractContextManager["BatchEnv"]:
        """A batched environment for who acts in it: see `env.acting.env_for`."""
        from robot_rlaas.env.acting import env_for
        from robot_rlaas.sim.backends import backend_of

        backend = backend_of(simulator, self.workcell, self.spec, simulations)
        return env_for(policy, self.spec, self.workcell, backend, seeds)


def widened(cell: CellSpec, factor: float) -> CellSpec:
    """The cell with wider ranges of what nobody observes: of biases, and of the part in the hand."""
    if factor == 1.0:
        return cell
    hidden = ("plate_bias_mm", "plate_bias_deg", "hand_offset_mm", "hand_offset_deg")
    ranges = {name: _wider(getattr(cell.variation, name), factor) for name in hidden}
    contact = cell.contact.wider(factor) if cell.contact else None
    return cell.model_copy(update={"variation": cell.variation.model_copy(update=ranges), "contact": contact})


def _wider(ends: tuple[float, float], factor: float) -> tuple[float, float]:
    low, high = ends
    centre, half = (low + high) / 2, factor * (high - low) / 2
    return centre - half, centre + half


def check(reference: str, out: Path | None, watch: Watch) -> Result:
    """Check the cell; with `out`, also write cell.png there."""
    from robot_rlaas.sim.check import check as check_cell

    spec, path = load_cell(reference), cell_path(reference)
    workcell, findings = check_cell(spec, path)
    for finding in findings:
        watch.say(f"  {finding.what}: {finding.figure}")
    if out is not None:
        with staged_dir(out) as part:
            part.mkdir()
            show(Cell(spec, workcell, path), part / "cell.png", watch)
    return Result(f"{len(findings)} checks hold")


def show(cell: Cell, path: Path, watch: Watch) -> Path | None:
    """Draw the cell into a PNG. None, and a line that says why, where nothing can be rendered."""
    from robot_rlaas.sim.render import RenderingUnavailable, cell_picture, save_png

    try:
        return save_png(cell_picture(cell.spec, cell.workcell), path)
    except RenderingUnavailable as error:
        watch.say(f"  no picture: {error}")
        return None


def demonstrate(reference: str, recipe: "Recipe", seed: int, out: Path, watch: Watch, simulator: str = "cpu") -> Result:
    """Record scripted demonstrations as a LeRobotDataset v3. `simulator` as of `sim.backends.backend_of`."""
    from robot_rlaas.data.episode import record, start_axes
    from robot_rlaas.data.lerobot import write_dataset
    from robot_rlaas.data.lineage import Made, lineage_of
    from robot_rlaas.env.tasks import expert_of

    cell, count = Cell.load(reference), recipe.demonstrations
    env = cell.env(min(count, 100), Seeds(seed, Space.DEMONSTRATE), simulator=simulator)
    expert = expert_of(cell.spec, env.contract, env.nsim)
    noise = np.random.default_rng([seed, int(Space.DEMONSTRATE)])
    episodes = record(env, expert, count, recipe.demonstration_noise, noise, counter(watch, "recording", count))
    made = Made(by="rlaas demos generate", settings={"noise": recipe.demonstration_noise, "simulator": simulator})
    lineage = lineage_of(cell.spec, env.contract, start_axes(cell.spec), made)
    write_dataset(out, lineage, episodes, counter(watch, "writing", count))
    frames = sum(len(e.action) for e in episodes)
    return Result(f"{count} episodes, {frames} frames, {sum(e.success for e in episodes)} successful")


def counter(watch: Watch, text: str, total: int) -> Callable[[], None]:
    """To be called `total` times: shows how far the work is."""
    done = 0

    def one_more() -> None:
        nonlocal done
        done += 1
        watch.bar(text, done, total)

    return one_more


def build_bundle(
    policy_path: Path, report: Path | None, out: Path, key: "PrivateKey | None", reference: str | None = None
) -> Result:
    """Pack policy, contract, limits and report, sign them, and verify what was packed.

    Args:
        policy_path: a policy directory.
        report: its qualification report, if there is one.
        out: a directory or a .zip.
        key: signs; None leaves the bundle unsigned.
        reference: a cell but its own to run in.
    """
    from robot_rlaas.bundle import Trust, load_bundle
    from robot_rlaas.bundle import build_bundle as build

    built = build(policy_path, report, out, load_cell(reference) if reference else None, key)
    bundle = load_bundle(built, Trust((key.public,)) if key else None)
    return Result(f"{bundle.manifest['name']}, sha256 {bundle.sha256[:12]}, {bundle.origin}; {parity_words(bundle)}")


def parity_words(bundle: "Bundle") -> str:
    """How well the bundle's network does what the trained one did."""
    parity = bundle.manifest["parity"]
    if parity is None:
        return "no torch network to compare with"
    return f"{parity['largest_difference']:.1g} off torch at most, on {parity['observations']:,} observations"


def deploy(
    bundle: Path,
    out: Path,
    attempts: int,
    plant: str,
    arm: str,
    seed: int,
    domain_id: int | None,
    trust: "Trust",
    watch: Watch,
    page: tuple[str, int] | None = None,
    domain: str = "enforce",
    perception: Path | None = None,
    log_mb: float | None = None,
    line: Line = AS_THE_PROFILE_SAYS,
) -> Result:
    """Let the bundle drive an arm over ROS 2.

    `page`: host and port of the operator's page, if there shall be one. `domain`, `perception`, `log_mb` and
    `line`: see `deploy.run.deploy`.
    """
    from robot_rlaas.deploy.run import deploy as deploy_bundle
    from robot_rlaas.deploy.ui import ui_at

    result = deploy_bundle(
        bundle,
        out,
        trust=trust,
        attempts=attempts,
        plant=plant,
        arm=arm,
        seed=seed,
        domain_id=domain_id,
        ui=ui_at(*page) if page else None,
        perception=perception,
        domain=domain,
        log_mb=log_mb,
        line=line,
        on_event=lambda text: watch.say(f"  {text}"),
    )
    text = f"{result.successes} of {attempts} on {plant if arm == 'virtual' else arm}, {result.violations} violations"
    if result.domain is not None:
        text += f", {result.domain['attempts_left']} outside the operating domain"
    if not result.trusted:
        text += f"; the bundle is {result.origin}"
    return Result(text)
