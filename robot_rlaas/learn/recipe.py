"""What a training run is made of, read from policies/recipes/*.yaml."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from robot_rlaas.assets import data_dir, find
from robot_rlaas.cell.explain import Wrong
from robot_rlaas.cell.quantities import Fraction
from robot_rlaas.cell.strict_yaml import Spec, load_spec
from robot_rlaas.learn.quantities import Batch, Count, Layers, Noise, Rate, Rows, Spread, Times, Widening

DEFAULT = "default"
MOST_PERIODS = 10_000_000  # some GB


class Recipe(Spec):
    """A training recipe. Pairs are [at the start, at the end]; what lies between is linear in environment steps.

    Attributes:
        demonstrations: scripted episodes to imitate.
        demonstration_noise: largest standard deviation of the noise injected into them, as a fraction of an action.
        hidden: widths of the actor's and of the critic's hidden layers.
        clone_epochs: how often behaviour cloning goes through the demonstrations.
        aggregate_rounds: how often, at most, the scripted expert is asked what it would have done where the clone
            went, and the clone learns that, too: see `learn/aggregate.py`. 0 for never. Who learns from people's
            demonstrations asks no expert, whatever this says.
        aggregate_episodes: of the clone in each round.
        aggregate_epochs: how often each round goes through everything that there is by then.
        simulations: episodes side by side.
        rollout_steps: control periods per simulation between two updates.
        batch_size, epochs, discount, gae_lambda, clip, target_kl: PPO's, as in its paper (arXiv 1707.06347).
        learning_rate: of Adam.
        noise_std: standard deviation of the exploration, as a fraction of an action. It falls on a schedule instead of
            being learned: what counts is the policy without it.
        critic_warmup: updates in which only the critic learns, so that a bad critic does not spoil the clone.
        widen: training draws what nobody observes (biases, the peg in the hand) from ranges this much wider than the
            cell's, so that the cell's corners are not the rarest thing the policy has seen.
        average: decay per update of the averaged actor, which is what is validated and exported.
        budget_steps: environment steps at most.
        validate_every: updates between two validations.
        validation_episodes: fresh episodes in each.
    """

    demonstrations: Count
    demonstration_noise: Noise
    hidden: Annotated[Layers, Field(min_length=1)]
    clone_epochs: Times
    aggregate_rounds: Times
    aggregate_episodes: Count
    aggregate_epochs: Count
    simulations: Rows
    rollout_steps: Annotated[int, Field(ge=1, le=10_000)]
    batch_size: Batch
    epochs: Count
    discount: Fraction
    gae_lambda: Fraction
    clip: Annotated[float, Field(gt=0, le=1)]
    target_kl: Annotated[float, Field(gt=0, le=10)]
    learning_rate: tuple[Rate, Rate]
    noise_std: tuple[Spread, Spread]
    critic_warmup: Times
    widen: Widening
    average: Annotated[float, Field(ge=0, lt=1)]
    budget_steps: Count
    validate_every: Count
    validation_episodes: Count

    @model_validator(mode="after")
    def _an_update_fits(self) -> "Recipe":
        periods = self.rollout_steps * self.simulations
        if not 2 <= periods <= MOST_PERIODS:
            message = f"must make updates of 2 to {MOST_PERIODS:,} control periods in all simulations together"
            raise Wrong("rollout_steps", f"{message}; it makes {periods:,}")
        return self


def recipe_for(cell: str) -> str:
    """The name of the shipped recipe for the cell of this name: its own, or else the default."""
    return cell if (_shipped() / f"{cell}.yaml").is_file() else DEFAULT


def load_recipe(reference: str) -> Recipe:
    """The recipe of a shipped name or of a path. Keys that it leaves out are those of default.yaml."""
    shipped = _shipped()
    default = load_spec(shipped / f"{DEFAULT}.yaml", Recipe)
    return load_spec(find(reference, shipped, ".yaml"), Recipe, base=default)


def _shipped() -> Path:
    return data_dir("policies") / "recipes"
