"""A sweep: many short trainings with Optuna, to find a better recipe for a cell."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import yaml

from robot_rlaas.cell.errors import InputError, StageError
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cell.spec import load_cell
from robot_rlaas.files import sha256_tree, write_atomic, write_json
from robot_rlaas.jobs import policies, training
from robot_rlaas.jobs.pipeline import Cell, Result, Watch
from robot_rlaas.learn import checkpoint
from robot_rlaas.learn.improve import Progress, Validation
from robot_rlaas.learn.recipe import Recipe
from robot_rlaas.learn.sweep import Sweep, Tried, is_whole, of_a_trial, varied
from robot_rlaas.learn.sweep_plot import draw
from robot_rlaas.learn.validate import judge
from robot_rlaas.qualify.trials import run_trials

if TYPE_CHECKING:
    from optuna import Study, Trial

    from robot_rlaas.learn.aggregate import Round

SIMULATIONS = 250
STUDY, TABLE, RECIPE, PICTURE = "study.db", "sweep.json", "recipe.yaml", "sweep.png"
FEWEST = 4  # complete trials that importances are computed from


class Options(NamedTuple):
    """What a sweep is made of.

    Attributes:
        cell: shipped name or path.
        demonstrations: a dataset, of all trials.
        recipe: that the sweep begins with; its own result is the first trial.
        sweep: what is varied.
        trials: finished ones in the end, those of earlier runs included.
        seed: of all trainings, and of what is drawn.
        device: of the network.
        out: the sweep's directory; what is there already is gone on with.
    """

    cell: str
    demonstrations: Path
    recipe: Recipe
    sweep: Sweep
    trials: int
    seed: int
    device: str
    out: Path


def sweep(options: Options, watch: Watch) -> Result:
    """Run trials until there are enough. Leaves study.db, sweep.json, sweep.png, recipe.yaml and trials/NUMBER.

    Raises:
        InputError: if `out` holds something else, or a sweep that was made from other things.
    """
    cell = Cell.load(options.cell)
    study = _study(options, cell)
    while len(done := _tried(study)) < options.trials:
        _one(study, options, cell, not done, _OfTrial(watch, f"trial {len(done) + 1} of {options.trials}"))
        done = _tried(study)
        write_json(options.out / TABLE, {"trials": [t._asdict() for t in done]})
        watch.say(f"  {_line(done[-1])}")
    first, best, importance = done[0], _best(done), _importance(study, done)
    success = {
        t.number: _judged(options, cell, t.number, options.sweep.episodes, watch)
        for t in ([first] if best == first else [first, best])
    }
    confirmed = {number: validation.success for number, validation in success.items()}
    write_json(
        options.out / TABLE,
        {"trials": [t._asdict() for t in done], "best": best.number, "confirmed": confirmed, "importance": importance},
    )
    draw(done, importance, options.out / PICTURE)
    _write_recipe(options, best)
    return Result(_summary(first, best, confirmed, options.out / RECIPE))


class _OfTrial(NamedTuple):
    """Shows the bars of one trial, without the lines that a training has to say."""

    watch: Watch
    name: str

    def say(self, text: str) -> None:
        """See `pipeline.Watch`."""

    def bar(self, text: str, done: float, total: float) -> None:
        """See `pipeline.Watch`."""
        self.watch.bar(f"{self.name}, {text}", done, total)


class _Pruning:
    """A `learn.train.Watch` that ends a training in which Optuna sees no promise."""

    def __init__(self, trial: "Trial", sweep: Sweep) -> None:
        self._trial, self._sweep, self._look = trial, sweep, 0

    def cloning(self, epochs: int, of: int) -> None:
        """See `learn.train.Watch`."""

    def aggregating(self, done: "Round") -> None:
        """See `learn.train.Watch`."""

    def improving(self, progress: Progress) -> None:
        """See `learn.train.Watch`. Looks have numbers: trials with longer rollouts have theirs at other steps."""
        from optuna import TrialPruned

        look = round(self._sweep.looks * progress.steps / self._sweep.budget_steps)
        if progress.validation_score is None or look <= self._look:
            return
        self._look = look
        self._trial.report(progress.validation_score, look)
        if self._trial.should_prune():
            raise TrialPruned


def _study(o: Options, cell: Cell) -> "Study":
    """The sweep that is in `out`, or a new one."""
    import optuna

    database = o.out / STUDY
    if o.out.exists() and not database.is_file() and not (o.out.is_dir() and not any(o.out.iterdir())):
        raise InputError("something is there that is not a sweep", file=o.out, fix="name another --out")
    made_from = {
        "cell": cell.spec.hash,
        "demonstrations": sha256_tree(o.demonstrations),
        "recipe": json.loads(o.recipe.model_dump_json()),
        "space": json.loads(o.sweep.model_dump_json()),
        "seed": o.seed,
    }
    o.out.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.MedianPruner(n_startup_trials=o.sweep.unpruned_trials)
    try:
        storage = f"sqlite:///{database.absolute()}"
        study = optuna.create_study(
            storage=storage, study_name="sweep", direction="maximize", pruner=pruner, load_if_exists=True
        )
    except Exception as error:  # of the database
        raise InputError(f"not a sweep's study ({type(error).__name__})", file=database, fix="name another") from error
    other = [k for k, v in study.user_attrs.get("made_from", made_from).items() if made_from[k] != v]
    if other:
        message = f"the sweep there has another {' and '.join(other)}"
        raise InputError(message, file=o.out, fix="give what it was begun with, or name another --out")
    study.set_user_attr("made_from", made_from)
    for trial in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)  # it was killed
    return study


def _one(study: "Study", o: Options, cell: Cell, first: bool, watch: Watch) -> None:
    """Run one trial; what interrupts it leaves it failed, and it is not counted. One that diverges counts as pruned.

    Raises:
        StageError: if `first`, the recipe that the sweep begins with, diverges.
    """
    from optuna import TrialPruned
    from optuna.samplers import TPESampler
    from optuna.trial import TrialState

    source = int(np.random.SeedSequence([o.seed, len(study.trials)]).generate_state(1)[0])
    study.sampler = TPESampler(seed=source)  # anew each time: a sweep that goes on must not draw the same again
    trial = study.ask()
    drawn = {} if first else _drawn(trial, o.sweep)
    trial.set_user_attr("drawn", drawn)
    recipe, follow = of_a_trial(varied(o.recipe, drawn), o.sweep), _Pruning(trial, o.sweep)
    folder = _folder(o, trial.number)
    try:
        training.train(o.cell, o.demonstrations, recipe, o.seed, o.device, folder, watch, follow=follow)
        validation = _judged(o, cell, trial.number, 0, watch)
        trial.set_user_attr("success", validation.success)
        study.tell(trial, validation.score)
    except TrialPruned:
        study.tell(trial, state=TrialState.PRUNED)
    except (StageError, ValueError) as error:  # the latter is torch's, of an actor that went to infinity
        if first or isinstance(error, InputError):
            study.tell(trial, state=TrialState.FAIL)
            raise
        trial.set_user_attr("broke_off", str(error).splitlines()[0][:200])
        study.tell(trial, state=TrialState.PRUNED)
    except BaseException:
        study.tell(trial, state=TrialState.FAIL)
        raise
    finally:
        checkpoint.path_of(folder).unlink(missing_ok=True)  # a trial is short enough to be made anew


def _drawn(trial: "Trial", space: Sweep) -> dict[str, Any]:
    drawn: dict[str, Any] = {}
    for section, log in ((space.ranges, False), (space.logarithmic, True)):
        for name, (low, high) in section.items():
            if is_whole(name):
                drawn[name] = trial.suggest_int(name, round(low), round(high), log=log)
            else:
                drawn[name] = trial.suggest_float(name, low, high, log=log)
    for name, values in space.one_of.items():
        drawn[name] = json.loads(trial.suggest_categorical(name, [json.dumps(value) for value in values]))
    return drawn


def _folder(o: Options, number: int) -> Path:
    return o.out / "trials" / f"{number:03}"


def _judged(o: Options, cell: Cell, number: int, first: int, watch: Watch) -> Validation:
    """What a trial's policy is worth on episodes from `first` on, which nothing trains on and no qualification asks."""
    rows, done = min(SIMULATIONS, o.sweep.episodes), 0

    def count(episodes: int) -> None:
        nonlocal done
        done += episodes
        watch.bar("judging", done, o.sweep.episodes)

    env = cell.env(rows, Seeds(o.seed, Space.SWEEP), first)
    policy = policies.load(_folder(o, number), cell.spec, rows).policy
    return judge(cell.spec, [trial.outcome for trial in run_trials(env, policy, o.sweep.episodes, count)])


def _tried(study: "Study") -> list[Tried]:
    """The finished trials, in their order."""
    from optuna.trial import TrialState

    return [
        Tried(
            number=t.number,
            state=t.state.name.lower(),
            score=t.value,
            success=t.user_attrs.get("success"),
            seconds=round(t.duration.total_seconds(), 1) if t.duration else 0.0,
            drawn=t.user_attrs["drawn"],
            broke_off=t.user_attrs.get("broke_off", ""),
        )
        for t in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    ]


def _best(trials: list[Tried]) -> Tried:
    return max((t for t in trials if t.state == "complete"), key=lambda t: -np.inf if t.score is None else t.score)


def _importance(study: "Study", trials: list[Tried]) -> dict[str, float]:
    """How much of the score each key of the recipe explains (PED-ANOVA, arXiv 2304.10255)."""
    from optuna.importance import get_param_importances

    if len({t.score for t in trials if t.state == "complete" and t.drawn}) < FEWEST:
        return {}
    return get_param_importances(study)


def _write_recipe(o: Options, best: Tried) -> None:
    told = f"# Trial {best.number} of a sweep for {load_cell(o.cell).name}: score {best.score:.4f}.\n"
    content = varied(o.recipe, best.drawn).model_dump(mode="json")
    write_atomic(o.out / RECIPE, told + yaml.safe_dump(content, sort_keys=False, default_flow_style=None))


def _line(trial: Tried) -> str:
    score = "no score" if trial.score is None else f"score {trial.score:.4f}"
    reached = f"pruned at {score}" if trial.success is None else f"{score}, success {trial.success:.1%}"
    if trial.broke_off:
        reached = f"broke off at {score} ({trial.broke_off})"
    drawn = ", ".join(f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}"
                      for name, value in trial.drawn.items())  # fmt: skip
    return f"trial {trial.number}: {reached}, {trial.seconds:.0f} s; {drawn or 'the recipe as it is'}"


def _summary(first: Tried, best: Tried, confirmed: dict[int, float], recipe: Path) -> str:
    if best == first:
        return f"nothing beats the recipe as it is: {confirmed[first.number]:.1%} of other episodes; it is in {recipe}"
    return (
        f"trial {best.number} is best: {confirmed[best.number]:.1%} of other episodes, "
        f"{confirmed[first.number]:.1%} with the recipe as it was; its recipe is {recipe}"
    )
