"""Training, wired together: from demonstrations on disk to a policy directory."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.seeds import Seeds, Space, sequence_json
from robot_rlaas.jobs.pipeline import Cell, Result, Watch

if TYPE_CHECKING:
    from robot_rlaas.learn.aggregate import Round
    from robot_rlaas.learn.improve import Progress
    from robot_rlaas.learn.recipe import Recipe
    from robot_rlaas.learn.train import Watch as TrainingWatch
    from robot_rlaas.qualify.focus import Focus


def train(
    reference: str,
    demonstrations: Path,
    recipe: "Recipe",
    seed: int,
    device: str,
    out: Path,
    watch: Watch,
    start: Path | None = None,
    follow: "TrainingWatch | None" = None,
    resume: bool = False,
    focus: "Focus | None" = None,
    simulator: str = "cpu",
) -> Result:
    """Clone the demonstrations, or begin with the policy directory `start`; improve by aggregation and PPO, export.

    `follow` hears of progress, too; what it raises ends the training. With `resume`, an interrupted training goes on.
    With `focus`, PPO begins a share of its episodes where that says. `simulator` as of `sim.backends.backend_of`.
    """
    from robot_rlaas.data.lerobot import read_dataset
    from robot_rlaas.data.lineage import read_lineage
    from robot_rlaas.env.tasks import contract_of
    from robot_rlaas.files import sha256_tree
    from robot_rlaas.learn import checkpoint
    from robot_rlaas.learn.aggregate import teacher_of
    from robot_rlaas.learn.finite import check_demonstrations
    from robot_rlaas.learn.train import train as train_policy

    cell = Cell.load(reference)
    contract = contract_of(cell.spec)
    episodes = read_dataset(demonstrations, contract)
    check_demonstrations(episodes, contract, demonstrations)
    lineage = read_lineage(demonstrations)
    seeds = Seeds(seed, Space.TRAIN)
    training_env = cell.env(recipe.simulations, seeds, widen=recipe.widen, simulator=simulator, order=focus)
    provenance = {
        "demonstrations_sha256": sha256_tree(demonstrations),
        "demonstrations_cell_hash": lineage.cell_hash,
        "sequences": [*lineage.sequences, *_own_sequences(seed), *(_sequences(start) if start else ())],
        "variation": training_env.cell.variation.model_dump(mode="json"),
        "calibrated": cell.spec.calibration is not None,
        "simulator": simulator,
        **({"focus": focus.to_json()} if focus else {}),
    }
    teacher = None
    if recipe.aggregate_rounds and start is None:
        teacher, why = teacher_of(training_env, lineage)
        watch.say(f"  {why}")
    _tell_checkpoint(checkpoint.path_of(out), resume, watch)
    result = train_policy(
        cell.spec,
        training_env,
        lambda first: cell.env(recipe.simulations, Seeds(seed, Space.VALIDATE), first, simulator=simulator),
        episodes,
        recipe,
        seed,
        "cpu" if device == "auto" else device,
        out,
        provenance,
        ShownTraining(watch, recipe.budget_steps, follow),
        (start / "policy.onnx").read_bytes() if start else None,
        teacher,
        resume,
    )
    after = f", after aggregation {result.aggregated.success:.1%}" if result.aggregated else ""
    after += f", after PPO {result.best.success:.1%}" if result.curve else ""
    return Result(f"validated success: clone {result.clone.success:.1%}{after}")


def _tell_checkpoint(kept: Path, resume: bool, watch: Watch) -> None:
    if kept.exists():
        watch.say(f"  {'goes on from' if resume else 'begins anew; --resume would go on from'} {kept}")
    elif resume:
        watch.say(f"  begins at the beginning: there is no {kept}")


class ShownTraining(NamedTuple):
    """Shows how training goes, and tells whoever follows it."""

    watch: Watch
    budget_steps: int
    follow: "TrainingWatch | None" = None

    def cloning(self, epochs: int, of: int) -> None:
        """See `learn.train.Watch`."""
        self.watch.bar("cloning", epochs, of)
        if self.follow:
            self.follow.cloning(epochs, of)

    def aggregating(self, done: "Round") -> None:
        """See `learn.train.Watch`."""
        self.watch.bar("aggregating", done.number, done.of)
        self.watch.say(
            f"  aggregation {done.number}: {done.validation.success:.1%} of fresh episodes "
            f"after {done.frames:,} labelled frames"
        )
        if self.follow:
            self.follow.aggregating(done)

    def improving(self, progress: "Progress") -> None:
        """See `learn.train.Watch`."""
        text = f"improving: success {progress.success:.1%}, peak force {progress.peak_force_N:.0f} N"
        self.watch.bar(text, progress.steps, self.budget_steps)
        if progress.validation_success is not None:
            self.watch.say(
                f"  {progress.seconds:4.0f} s, {progress.steps:,} steps: "
                f"{progress.validation_success:.1%} of fresh episodes"
            )
        if self.follow:
            self.follow.improving(progress)


def _own_sequences(seed: int) -> list[dict[str, Any]]:
    """Of the episodes that a training draws itself."""
    return [sequence_json(Seeds(seed, space)) for space in (Space.TRAIN, Space.VALIDATE)]


def _sequences(policy: Path) -> list[dict[str, Any]]:
    """What a policy says that it learned from."""
    try:
        return json.loads((policy / "policy.json").read_text())["provenance"]["sequences"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"it does not say what the policy learned from ({type(error).__name__})"
        raise InputError(
            message, file=policy / "policy.json", fix="name a directory that 'rlaas train' left"
        ) from error
