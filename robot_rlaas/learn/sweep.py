"""What a sweep varies in a recipe, read from policies/sweeps/*.yaml."""

from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

from pydantic import Field, PositiveInt, ValidationError, model_validator

from robot_rlaas.assets import data_dir, find
from robot_rlaas.cell.errors import did_you_mean
from robot_rlaas.cell.explain import Wrong
from robot_rlaas.cell.quantities import PositiveRange, Range
from robot_rlaas.cell.strict_yaml import Spec, load_spec
from robot_rlaas.learn.recipe import DEFAULT, Recipe, load_recipe

GIVEN = {"demonstrations", "demonstration_noise", "budget_steps", "validate_every", "validation_episodes"}
VARIED = sorted(set(Recipe.model_fields) - GIVEN)
PAIRS = ("learning_rate", "noise_std")  # of which the start is drawn; the end keeps its proportion to it


class Sweep(Spec):
    """A search space over recipes, and what is spent on each trial.

    Attributes:
        budget_steps: environment steps of PPO per trial. Schedules run over these, as they do over the recipe's later.
        looks: validations per trial. At each it is pruned if its best score so far is below the median of the others'
            there.
        episodes: fresh ones that judge each trial; the same for all of them.
        unpruned_trials: so many trials run to their ends before any is pruned.
        ranges: [low, high] by key of the recipe, drawn evenly between them. Whole numbers for what is whole.
        logarithmic: the same, drawn evenly in the logarithm.
        one_of: values by key of the recipe.
    """

    budget_steps: PositiveInt
    looks: PositiveInt
    episodes: PositiveInt
    unpruned_trials: Annotated[int, Field(ge=0)]
    ranges: dict[str, Range] = Field(default={})
    logarithmic: dict[str, PositiveRange] = Field(default={})
    one_of: dict[str, Annotated[tuple[Any, ...], Field(min_length=2)]] = Field(default={})

    @model_validator(mode="after")
    def _of_a_recipe(self) -> "Sweep":
        seen, base = set[str](), load_recipe(DEFAULT)
        for section, name, values in self._entries():
            at = f"{section}.{name}"
            if name not in VARIED:
                reason = f"a sweep does not vary that; it may vary {', '.join(VARIED)}"
                raise Wrong(at, reason, did_you_mean(name, VARIED))
            if name in seen:
                raise Wrong(at, "the key also stands in another section", "keep one of them")
            seen.add(name)
            if section == "logarithmic" and values[0] <= 0:
                raise Wrong(at, "a logarithm needs a low end above 0")
            for value in values:
                _check(at, base, name, value)
        if not seen:
            raise Wrong("ranges", "nothing is varied", "add a key of the recipe, 'clip: [0.1, 0.3]'")
        return self

    def _entries(self) -> Iterator[tuple[str, str, tuple[Any, ...]]]:
        for section in ("ranges", "logarithmic", "one_of"):
            for name, values in getattr(self, section).items():
                yield section, name, values


def _check(at: str, base: Recipe, name: str, value: Any) -> None:
    try:
        varied(base, {name: value})
    except ValidationError as error:
        reason = error.errors()[0]["msg"].replace("Input should be", "must be").removeprefix("Value error, ")
        raise Wrong(at, f"{value!r} is no {name}: it {reason}") from error


def load_sweep(reference: str) -> Sweep:
    """The sweep of a shipped name or of a path."""
    return load_spec(find(reference, data_dir("policies") / "sweeps", ".yaml"), Sweep)


def is_whole(name: str) -> bool:
    """Whether a key of the recipe is a whole number."""
    return Recipe.model_fields[name].annotation is int


def varied(base: Recipe, drawn: dict[str, Any]) -> Recipe:
    """The recipe with what was drawn in it."""
    changes = {}
    for name, value in drawn.items():
        first, last = getattr(base, name) if name in PAIRS else (1.0, 1.0)
        changes[name] = (value, value * last / first) if name in PAIRS else value
    return Recipe.model_validate(base.model_dump() | changes)


def of_a_trial(recipe: Recipe, sweep: Sweep) -> Recipe:
    """The recipe with a trial's budget, validated at every look."""
    update_steps = recipe.rollout_steps * recipe.simulations
    every = max(1, round(sweep.budget_steps / (sweep.looks * update_steps)))
    return recipe.model_copy(update={"budget_steps": sweep.budget_steps, "validate_every": every})


class Tried(NamedTuple):
    """One trial.

    Attributes:
        number: from 0.
        state: "complete" or "pruned".
        score: see `learn.validate.judge`; of a pruned one, that of its last look, if there was one.
        success: share of the episodes that judged it; None of a pruned one.
        seconds: wall clock.
        drawn: what differs from the recipe that the sweep began with; nothing in the first.
        broke_off: why, of a pruned one that diverged.
    """

    number: int
    state: str
    score: float | None
    success: float | None
    seconds: float
    drawn: dict[str, Any]
    broke_off: str = ""
