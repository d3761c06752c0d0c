"""How a policy is practised, read from policies/practice/*.yaml."""

from typing import Annotated

from pydantic import Field

from robot_rlaas.assets import data_dir, find
from robot_rlaas.cell.quantities import Fraction
from robot_rlaas.cell.strict_yaml import Spec, load_spec
from robot_rlaas.learn.quantities import Batch, Count, Layers, Noise, Rate, Spread, Times

DEFAULT = "default"

Hold = Annotated[float, Field(ge=0, le=1000)]


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

    hidden: Layers
    clone_epochs: Count
    critics: Annotated[int, Field(ge=2, le=100)]
    critic_hidden: Layers
    batch_size: Batch
    updates_per_period: Count
    actor_every: Count
    critics_first: Times
    learning_rate: Rate
    target_rate: Fraction
    discount: Fraction
    steps_ahead: Annotated[int, Field(ge=1, le=1000)]
    entropy: Annotated[float, Field(ge=0, le=10)]
    hold: tuple[Hold, Hold]
    hold_periods: Count
    noise_std: tuple[Spread, Noise]
    caution: Annotated[float, Field(gt=0, le=1000)]


def load_practice(reference: str) -> PracticeRecipe:
    """The recipe of a shipped name or of a path. Keys that it leaves out are those of default.yaml."""
    shipped = data_dir("policies") / "practice"
    default = load_spec(shipped / f"{DEFAULT}.yaml", PracticeRecipe)
    return load_spec(find(reference, shipped, ".yaml"), PracticeRecipe, base=default)
