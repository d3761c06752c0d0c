"""How a policy is practised, read from policies/practice/*.yaml."""

from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt

from robot_rlaas.assets import data_dir, find
from robot_rlaas.cell.calibration import NonNegative
from robot_rlaas.cell.quantities import Fraction
from robot_rlaas.cell.strict_yaml import Spec, load_spec

DEFAULT = "default"


class PracticeRecipe(Spec):
    """A recipe of reinforcement learning on one arm.

    Attributes:
        hidden: widths of the actor's hidden layers.
        clone_epochs: how often the clone goes through the demonstrations.
        critics: how many there are.
        critic_hidden: widths of each one's hidden layers.
        batch_size: transitions per update, half of them demonstrated.
        updates_per_period: updates of the critics for every control period that is practised.
        actor_every: updates of the critics between two of the actor.
        critics_first: so many updates of the critics before the first of the actor, so that bad critics do not spoil
            the clone.
        learning_rate: of Adam.
        target_rate: how much of the critics each of their updates moves the target critics by.
        discount: per control period.
        steps_ahead: so many periods' rewards are taken as they came before the critics are asked what follows.
        entropy: what a unit of the actor's entropy is worth, in mean values.
        hold: [at the start, at the end] how strongly the actor is held to the clone.
        hold_periods: control periods practised from that start to that end; linear in between.
        noise_std: [of the clone's own spread, at most in an attempt]: standard deviations, as fractions of an action.
            What is done in an attempt wanders round what the actor would do, by a strength that is drawn for each.
        caution: how many times as much force costs as in training: on an arm it stops the attempt.
    """

    hidden: tuple[PositiveInt, ...]
    clone_epochs: PositiveInt
    critics: Annotated[int, Field(ge=2)]
    critic_hidden: tuple[PositiveInt, ...]
    batch_size: Annotated[int, Field(ge=2)]
    updates_per_period: PositiveInt
    actor_every: PositiveInt
    critics_first: Annotated[int, Field(ge=0)]
    learning_rate: PositiveFloat
    target_rate: Fraction
    discount: Fraction
    steps_ahead: PositiveInt
    entropy: NonNegative
    hold: tuple[NonNegative, NonNegative]
    hold_periods: PositiveInt
    noise_std: tuple[PositiveFloat, NonNegative]
    caution: PositiveFloat


def load_practice(reference: str) -> PracticeRecipe:
    """The recipe of a shipped name or of a path. Keys that it leaves out are those of default.yaml."""
    shipped = data_dir("policies") / "practice"
    default = load_spec(shipped / f"{DEFAULT}.yaml", PracticeRecipe)
    return load_spec(find(reference, shipped, ".yaml"), PracticeRecipe, base=default)
