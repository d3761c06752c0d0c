"""Practice, wired together: a policy that gets better by attempts, in simulation or, beside `practising_arm`, on one.

What an interrupted practice goes on from lies beside its policy, in a folder of its own: every attempt, the learner as
it was, and the network that acts.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.kinds import insertion_only
from robot_rlaas.cell.seeds import Seeds, Space, sequence_json
from robot_rlaas.cell.spec import CellSpec, load_cell
from robot_rlaas.data.attempts import Practised, keep, kept, practised
from robot_rlaas.files import sha256_tree, staged_dir, write_json
from robot_rlaas.jobs.pipeline import Cell, Result, Watch
from robot_rlaas.learn.explore import Explorer
from robot_rlaas.learn.practice_recipe import PracticeRecipe

if TYPE_CHECKING:
    from robot_rlaas.data.episode import Episode
    from robot_rlaas.learn.practice import Learner

RECENT = 20  # attempts that the success rate is told of
KEEP_S = 20.0  # between two states of the learner on disk


class Options(NamedTuple):
    """What is practised.

    Attributes:
        cell: a shipped name or a path.
        demonstrations: a dataset.
        recipe: settings.
        minutes: of the arm's time; more of them when it goes on.
        seed: of the weights, of the noise and of a simulated arm's parts.
        out: the policy directory.
        resume: go on with an interrupted or finished practice.
    """

    cell: str
    demonstrations: Path
    recipe: PracticeRecipe
    minutes: float
    seed: int
    out: Path
    resume: bool

    @property
    def folder(self) -> Path:
        """What practice goes on from."""
        return self.out.with_name(f"{self.out.name}_practice")

    @property
    def attempts(self) -> Path:
        """One file per attempt."""
        return self.folder / "attempts"

    @property
    def state(self) -> Path:
        """The learner as it was."""
        return self.folder / "learner.npz"

    @property
    def network(self) -> Path:
        """On an arm, what the learner's process wants to act next."""
        return self.folder / "network.onnx"

    @property
    def told(self) -> Path:
        """What that process says of it, once it is there: its version, and how many updates are due."""
        return self.folder / "learner.json"


def practise(options: Options, watch: Watch) -> Result:
    """Practise in simulation, one attempt after another: the arm's time passes as fast as it can be computed.

    Raises:
        InputError: if the cell cannot be practised, nothing was demonstrated, or another practice lies there.
    """
    from robot_rlaas.data.episode import attempts

    o, cell = options, Cell.load(options.cell)
    learner, done = begin(o, cell.spec, watch)
    seeds = Seeds(o.seed, Space.TRAIN)
    env, rng = cell.env(1, seeds, first=done), np.random.default_rng([o.seed, int(Space.TRAIN), done])
    explorer = Explorer(learner, o.recipe.noise_std[1], rng)
    budget, period_s = round(o.minutes * 60 / cell.spec.period_s), cell.spec.period_s
    first, told, saved_s = learner.periods, list[bool](), time.monotonic()
    env.reset()
    try:
        for episode, _ in attempts(env, explorer, 0.0, rng):
            felt = as_supervised(cell, episode)
            version, at_s = learner.model.updates, (learner.periods + len(felt.action)) * period_s
            attempt = practised(felt, version, at_s)
            keep(o.attempts, done + len(told), attempt)
            learner.take(attempt)
            told.append(felt.success)
            learner.learn(learner.due)
            watch.bar(f"practising: {words(told)}", min(learner.periods - first, budget), budget)
            if time.monotonic() - saved_s > KEEP_S:
                save(o, learner)
                saved_s = time.monotonic()
            if learner.periods - first >= budget:
                break
    finally:
        save(o, learner)
        leave(o, cell.spec, learner, [sequence_json(seeds)])
    return Result(f"{learner.periods * period_s / 60:.1f} min of attempts: {words(told)}")


def begin(options: Options, cell: CellSpec, watch: Watch) -> tuple["Learner", int]:
    """A learner that knows all attempts that were made so far, and how many these are.

    Raises:
        InputError: as `practise`.
    """
    from robot_rlaas.learn import checkpoint
    from robot_rlaas.learn.practice import Learner

    o = options
    shown, epochs = checked(o, cell), o.recipe.clone_epochs
    learner = Learner(cell, shown, o.recipe, o.seed)
    if not o.state.exists():
        learner.clone(shown, lambda done: watch.bar("cloning", done, epochs))
        save(o, learner)
        return learner, 0
    state, made = checkpoint.read(o.state, made_from(o, cell)), list(kept(o.attempts))
    for attempt in made:
        learner.take(attempt)
    learner.resume(state)
    watch.say(f"  goes on after {len(made)} attempts, from {o.folder}")
    return learner, len(made)


def demonstrated(options: Options, cell: CellSpec) -> list["Episode"]:
    """The successful demonstrations.

    Raises:
        InputError: if the cell cannot be practised, or there is none.
    """
    from robot_rlaas.data.lerobot import read_dataset
    from robot_rlaas.env.tasks import contract_of
    from robot_rlaas.learn.clone import successes
    from robot_rlaas.learn.finite import check_demonstrations

    insertion_only(cell)
    episodes = read_dataset(options.demonstrations, contract_of(cell))
    check_demonstrations(episodes, contract_of(cell), options.demonstrations)
    return successes(episodes)


def checked(options: Options, cell: CellSpec) -> list["Episode"]:
    """What a practice begins with: `demonstrated`.

    Raises:
        InputError: as that, or if there is another practice already that nobody wants to go on with.
    """
    if options.state.exists() and not options.resume:
        fix = "add --resume to go on with it, remove it, or name another --out"
        raise InputError("there is a practice already", file=options.folder, fix=fix)
    return demonstrated(options, cell)


def made_from(options: Options, cell: CellSpec) -> dict[str, Any]:
    """All that decides what a practice is, by the names that a person knows it by."""
    return {
        "cell": cell.hash,
        "recipe": json.loads(options.recipe.model_dump_json()),
        "seed": options.seed,
        "demonstrations": sha256_tree(options.demonstrations),
    }


def save(options: Options, learner: "Learner") -> None:
    """Put the learner down as it is."""
    from robot_rlaas.learn import checkpoint

    checkpoint.write(options.state, made_from(options, load_cell(options.cell)), learner.state())


def as_supervised(cell: Cell, episode: "Episode") -> "Episode":
    """A simulated episode as far as an arm's supervisor would have let it come: too much force stops the arm.

    By a period's mean, since no more is observed: of shorter peaks, which stop an arm as well, nothing is known.
    """
    from robot_rlaas.env.tasks import contract_of

    force_N = np.linalg.norm(contract_of(cell.spec).unpack(episode.observation)["force"], axis=1)
    over = np.flatnonzero(force_N > cell.workcell.envelope.force_N)
    return episode.take(slice(over[0] + 1))._replace(success=False) if len(over) else episode


def leave(options: Options, cell: CellSpec, learner: "Learner", sequences: Sequence[dict[str, Any]]) -> None:
    """Write the policy directory, whole or not at all; `sequences`: where the practised parts came from."""
    from robot_rlaas.data.lineage import read_lineage
    from robot_rlaas.env.tasks import contract_of
    from robot_rlaas.learn.train import FORMAT, some_of

    o, attempts = options, list(kept(options.attempts))
    lineage, contract = read_lineage(o.demonstrations), contract_of(cell)
    description = {
        "format": FORMAT,
        "kind": "mlp",
        "contract": contract.to_json(),
        "cell": json.loads(cell.model_dump_json()),
        "cell_hash": cell.hash,
        "seed": o.seed,
        "recipe": json.loads(o.recipe.model_dump_json()),
        "practised": {"attempts": len(attempts), "periods": learner.periods, "updates": learner.model.updates},
        "provenance": {
            "demonstrations_sha256": sha256_tree(o.demonstrations),
            "demonstrations_cell_hash": lineage.cell_hash,
            "sequences": [*lineage.sequences, *sequences],
            "variation": cell.variation.model_dump(mode="json"),
            "calibrated": cell.calibration is not None,
        },
    }
    shown = [e.observation for e in demonstrated(o, cell)]
    seen = some_of(shown, [a.observation for a in attempts] or shown, o.seed)
    with staged_dir(o.out) as part:
        part.mkdir()
        (part / "policy.onnx").write_bytes(learner.network())
        (part / "clone.onnx").write_bytes(learner.cloned())
        np.savez(part / "parity.npz", observation=seen, action=learner.act(seen))
        write_json(part / "policy.json", description)
        write_json(part / "practice.json", [_row(attempt, cell.period_s) for attempt in attempts])


def _row(attempt: Practised, period_s: float) -> dict[str, Any]:
    """One attempt of the curve."""
    return {
        "at_s": round(attempt.at_s, 2),
        "success": attempt.success,
        "time_s": round(len(attempt.action) * period_s, 2),
        "corrected": float(attempt.corrected.mean()) if len(attempt.corrected) else 0.0,
        "version": attempt.version,
    }


def words(successes: Sequence[bool]) -> str:
    """How the last attempts went."""
    last = successes[-RECENT:]
    return f"{sum(last)} of the last {len(last)} attempts succeeded" if last else "no attempt was made"
