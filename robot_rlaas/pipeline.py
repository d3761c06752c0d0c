"""The stages, wired together: each takes artefacts from disk and leaves one there."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.extends import naming_lines
from robot_rlaas.cell.seeds import Seeds, Space, sequence_json
from robot_rlaas.cell.spec import CellSpec, cell_path, load_cell
from robot_rlaas.files import staged_dir

if TYPE_CHECKING:
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
        self, simulations: int, seeds: Seeds, first: int = 0, widen: float = 1.0, simulator: str = "cpu"
    ) -> "BatchEnv":
        """A batched environment. `widen` widens what nobody observes; `simulator` is as in `backend_of`."""
        from robot_rlaas.env.batch import BatchEnv
        from robot_rlaas.sim.backends import backend_of

        spec = self.spec if widen == 1.0 else _widened(self.spec, widen)
        return BatchEnv(spec, self.workcell, backend_of(simulator, self.workcell, spec, simulations), seeds, first)


def _widened(cell: CellSpec, factor: float) -> CellSpec:
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


def demonstrate(reference: str, recipe: "Recipe", seed: int, out: Path, watch: Watch) -> Result:
    """Record scripted demonstrations as a LeRobotDataset v3."""
    from robot_rlaas.data.episode import record, start_axes
    from robot_rlaas.data.lerobot import write_dataset
    from robot_rlaas.data.lineage import Made, lineage_of
    from robot_rlaas.env.tasks import expert_of

    cell, count = Cell.load(reference), recipe.demonstrations
    env = cell.env(min(count, 100), Seeds(seed, Space.DEMONSTRATE))
    expert = expert_of(cell.spec, env.contract, env.nsim)
    noise = np.random.default_rng([seed, int(Space.DEMONSTRATE)])
    episodes = record(env, expert, count, recipe.demonstration_noise, noise, _counter(watch, "recording", count))
    made = Made(by="rlaas demos generate", settings={"noise": recipe.demonstration_noise})
    lineage = lineage_of(cell.spec, env.contract, start_axes(cell.spec), made)
    write_dataset(out, lineage, episodes, _counter(watch, "writing", count))
    frames = sum(len(e.action) for e in episodes)
    return Result(f"{count} episodes, {frames} frames, {sum(e.success for e in episodes)} successful")


def _counter(watch: Watch, text: str, total: int) -> Callable[[], None]:
    done = 0

    def one_more() -> None:
        nonlocal done
        done += 1
        watch.bar(text, done, total)

    return one_more


def train(
    reference: str,
    demonstrations: Path,
    recipe: "Recipe",
    seed: int,
    device: str,
    out: Path,
    watch: Watch,
    start: Path | None = None,
) -> Result:
    """Clone the demonstrations, or begin with the policy directory `start`; improve by PPO, export."""
    from robot_rlaas.data.lerobot import read_dataset
    from robot_rlaas.data.lineage import read_lineage
    from robot_rlaas.env.tasks import contract_of
    from robot_rlaas.files import sha256_tree
    from robot_rlaas.learn.improve import Progress
    from robot_rlaas.learn.train import train as train_policy

    cell = Cell.load(reference)
    episodes = read_dataset(demonstrations, contract_of(cell.spec))
    lineage = read_lineage(demonstrations)
    training_env = cell.env(recipe.simulations, Seeds(seed, Space.TRAIN), widen=recipe.widen)
    provenance = {
        "demonstrations_sha256": sha256_tree(demonstrations),
        "demonstrations_cell_hash": lineage.cell_hash,
        "sequences": [
            *lineage.sequences,
            *(sequence_json(Seeds(seed, space)) for space in (Space.TRAIN, Space.VALIDATE)),
            *(_sequences(start) if start else ()),
        ],
        "variation": training_env.cell.variation.model_dump(mode="json"),
        "calibrated": cell.spec.calibration is not None,
    }

    def follow(phase: str, progress: Progress | None) -> None:
        if progress is None:
            watch.bar({"clone": "cloning", "improve": "improving"}[phase], 0, recipe.budget_steps)
            return
        text = f"improving: success {progress.success:.1%}, peak force {progress.peak_force_N:.0f} N"
        watch.bar(text, progress.steps, recipe.budget_steps)
        if progress.validation_success is not None:
            watch.say(
                f"  {progress.seconds:4.0f} s, {progress.steps:,} steps: "
                f"{progress.validation_success:.1%} of fresh episodes"
            )

    result = train_policy(
        cell.spec,
        training_env,
        lambda first: cell.env(recipe.simulations, Seeds(seed, Space.VALIDATE), first),
        episodes,
        recipe,
        seed,
        "cpu" if device == "auto" else device,
        out,
        provenance,
        follow,
        (start / "policy.onnx").read_bytes() if start else None,
    )
    return Result(f"validated success: clone {result.clone.success:.1%}, after PPO {result.best.success:.1%}")


def _sequences(policy: Path) -> list[dict[str, Any]]:
    """What a policy says that it learned from."""
    try:
        return json.loads((policy / "policy.json").read_text())["provenance"]["sequences"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"it does not say what the policy learned from ({type(error).__name__})"
        raise InputError(
            message, file=policy / "policy.json", fix="name a directory that 'rlaas train' left"
        ) from error


def build_bundle(policy_path: Path, report: Path | None, out: Path, reference: str | None = None) -> Result:
    """Pack policy, contract, limits and report; verify what was packed. `reference`: a cell but its own to run in."""
    from robot_rlaas.bundle import build_bundle as build
    from robot_rlaas.bundle import load_bundle

    bundle = load_bundle(build(policy_path, report, out, load_cell(reference) if reference else None))
    return Result(f"{bundle.manifest['name']}, sha256 {bundle.sha256[:12]}")


def deploy(
    bundle: Path, out: Path, attempts: int, plant: str, arm: str, seed: int, domain_id: int | None, watch: Watch
) -> Result:
    """Let the bundle drive an arm over ROS 2."""
    from robot_rlaas.deploy.run import deploy as deploy_bundle

    result = deploy_bundle(
        bundle,
        out,
        attempts=attempts,
        plant=plant,
        arm=arm,
        seed=seed,
        domain_id=domain_id,
        on_event=lambda text: watch.say(f"  {text}"),
    )
    text = f"{result.successes} of {attempts} on {plant if arm == 'virtual' else arm}, {result.violations} violations"
    return Result(text)
