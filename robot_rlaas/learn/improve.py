"""PPO from the clone, with exploration that fades, an averaged actor, and a stop when fresh episodes say so."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import ActorCriticPolicy

from robot_rlaas.env.batch import Outcome
from robot_rlaas.learn.checkpoint import State, into_env, into_model, of_env, of_model
from robot_rlaas.learn.finite import NotFinite, stopped
from robot_rlaas.learn.network import Normaliser
from robot_rlaas.learn.recipe import Recipe
from robot_rlaas.learn.vec_env import BatchVecEnv

RECENT = 512  # episodes that the progress figures average over


class Progress(NamedTuple):
    """One row of the learning curve.

    Attributes:
        seconds: since PPO began, validation included.
        steps: control periods simulated for learning.
        success, peak_force_N, reward: of the last episodes, with exploration.
        validation_success: of fresh episodes under the averaged actor, or None between validations.
        validation_score: of the same: see `Validation`.
        terms: mean reward per period, by name.
    """

    seconds: float
    steps: int
    success: float
    peak_force_N: float
    reward: float
    validation_success: float | None
    validation_score: float | None
    terms: dict[str, float]


class Validation(NamedTuple):
    """What fresh episodes say of the averaged actor: a score to rank actors by, and whether it is good enough."""

    success: float
    score: float
    good_enough: bool


def make_model(env: BatchVecEnv, recipe: Recipe, mean: np.ndarray, std: np.ndarray, seed: int, device: str) -> PPO:
    """A PPO model over stock MlpPolicy with the normaliser in front."""
    first, last = recipe.learning_rate
    return PPO(
        "MlpPolicy",
        env,
        learning_rate=lambda remaining: last + (first - last) * remaining,
        n_steps=recipe.rollout_steps,
        batch_size=min(recipe.batch_size, recipe.rollout_steps * env.num_envs),
        n_epochs=recipe.epochs,
        gamma=recipe.discount,
        gae_lambda=recipe.gae_lambda,
        clip_range=recipe.clip,
        target_kl=recipe.target_kl,
        seed=seed,
        device=device,
        policy_kwargs={
            "net_arch": {"pi": list(recipe.hidden), "vf": list(recipe.hidden)},
            "log_std_init": float(np.log(recipe.noise_std[0])),
            "features_extractor_class": Normaliser,
            "features_extractor_kwargs": {"mean": mean, "std": std},
        },
    )


def actor_parameters(policy: ActorCriticPolicy) -> list[torch.nn.Parameter]:
    """The actor's weights, without the exploration noise."""
    return [*policy.mlp_extractor.policy_net.parameters(), *policy.action_net.parameters()]


class Averaged:
    """An exponential average of the actor's weights (Polyak and Juditsky, 1992)."""

    def __init__(self, policy: ActorCriticPolicy, decay: float) -> None:
        self._live, self._decay = actor_parameters(policy), decay
        self.weights = [p.detach().clone() for p in self._live]

    def update(self) -> None:
        """Take in the live weights."""
        for mean, live in zip(self.weights, self._live):
            mean.lerp_(live.detach(), 1.0 - self._decay)

    def swap(self) -> None:
        """Exchange the live weights and the average; called twice, it undoes itself."""
        for mean, live in zip(self.weights, self._live):
            kept = live.detach().clone()
            live.data.copy_(mean)
            mean.copy_(kept)


def improve(
    model: PPO,
    recipe: Recipe,
    cloned: Validation,
    validate: Callable[[], Validation],
    on_progress: Callable[[Progress], None],
    keep: Callable[[State], None] | None = None,
    resumed: State | None = None,
) -> Validation:
    """Train in place until a validation is good enough or the budget ends; the best averaged actor stays in the model.

    Args:
        model: from `make_model`, cloned.
        recipe: budget and schedules.
        cloned: what the model's actor is worth as it comes: it stays where nothing beats it.
        validate: judges the model's present deterministic actor on fresh episodes.
        on_progress: hears of every update.
        keep: gets what to go on from, as PPO begins and after every validation.
        resumed: go on from there: what comes is, bit for bit, what would have come without the interruption.

    Returns:
        The best validation.

    Raises:
        StageError: if a loss, an observation or a reward is no number.
        InputError: if the simulation does not come to where it was interrupted.
    """
    if cloned.good_enough:
        return cloned
    follow = _Follow(model.policy, recipe, cloned, validate, on_progress, keep, resumed)
    try:
        if resumed is not None:
            into_model(model, resumed)
            into_env(cast(BatchVecEnv, model.get_env()), model, resumed)
        elif recipe.critic_warmup:
            _warm_up(model, recipe)
        done = model.num_timesteps if resumed else 0
        model.learn(recipe.budget_steps - done, callback=follow, reset_num_timesteps=resumed is None)
    except NotFinite as found:
        raise stopped(f"update {follow.updates + 1} of PPO", found) from found
    return follow.finish()


def _warm_up(model: PPO, recipe: Recipe) -> None:
    """Let the critic alone learn."""
    frozen = actor_parameters(model.policy)
    for parameter in frozen:
        parameter.requires_grad_(False)
    model.learn(recipe.critic_warmup * recipe.rollout_steps * model.n_envs)
    for parameter in frozen:
        parameter.requires_grad_(True)


class _Follow(BaseCallback):
    """Schedules the noise, averages the actor, validates, keeps what to go on from, and stops."""

    def __init__(
        self,
        policy: ActorCriticPolicy,
        recipe: Recipe,
        cloned: Validation,
        validate: Callable[[], Validation],
        report: Callable[[Progress], None],
        keep: Callable[[State], None] | None,
        resumed: State | None,
    ) -> None:
        super().__init__()
        self._policy = policy
        self._recipe, self._validate, self._report = recipe, validate, report
        self._keep, self._resumed = keep, resumed
        self._recent: list[Outcome] = []
        self.updates, self._began = 0, time.monotonic()
        self.best = cloned
        self._best_weights = [p.detach().clone() for p in actor_parameters(policy)]

    def _on_training_start(self) -> None:
        self._average = Averaged(self._policy, self._recipe.average)
        self._policy.log_std.requires_grad_(False)
        self._vec_env.on_outcome = self._recent.append
        if self._resumed is None:
            self._vec_env.term_sums.clear()
        else:
            self._go_on(self._resumed)

    @property
    def _vec_env(self) -> Any:
        return self.training_env

    def _on_rollout_start(self) -> None:
        if self._keep is not None and self.updates % self._recipe.validate_every == 0:
            self._keep(self._state())
        share = min(1.0, self.num_timesteps / self._recipe.budget_steps)
        first, last = np.log(self._recipe.noise_std)
        self._policy.log_std.data.fill_(float(first + (last - first) * share))
        if self.updates:
            self._average.update()

    def _state(self) -> State:
        """All that comes next depends on."""
        weights = {"average": self._average.weights, "best": self._best_weights}
        arrays = {f"{name}/{i:03d}": w.cpu().numpy() for name, part in weights.items() for i, w in enumerate(part)}
        words = {
            "updates": self.updates,
            "seconds": time.monotonic() - self._began,
            "best": self.best,
            "recent": [{**o._asdict(), "figures": dict(o.figures)} for o in self._recent[-RECENT:]],
        }
        return of_model(cast(PPO, self.model)) | of_env(self._vec_env) | State(arrays, words)

    def _go_on(self, state: State) -> None:
        for name, part in (("average", self._average.weights), ("best", self._best_weights)):
            for i, weights in enumerate(part):
                weights.copy_(torch.tensor(state.arrays[f"{name}/{i:03d}"]))
        self.updates, self.best = state.words["updates"], Validation(*state.words["best"])
        self._began = time.monotonic() - state.words["seconds"]
        recent = state.words["recent"]
        self._recent += [Outcome(**{**outcome, "stage_s": tuple(outcome["stage_s"])}) for outcome in recent]

    def _on_step(self) -> bool:
        return not self.best.good_enough

    def _on_rollout_end(self) -> None:
        self.updates += 1
        due = self.updates % self._recipe.validate_every == 0
        validation = self._judge() if due else None
        recent = self._recent[-RECENT:]
        if not recent:
            return
        periods = self._recipe.rollout_steps * self.model.n_envs
        terms = {name: total / periods for name, total in self._vec_env.term_sums.items()}
        self._vec_env.term_sums.clear()
        self._report(
            Progress(
                seconds=time.monotonic() - self._began,
                steps=self.num_timesteps,
                success=float(np.mean([o.success for o in recent])),
                peak_force_N=float(np.quantile([o.peak_force_N for o in recent], 0.95)),
                reward=float(np.mean([o.reward for o in recent])),
                validation_success=validation.success if validation else None,
                validation_score=validation.score if validation else None,
                terms=terms,
            )
        )

    def _judge(self) -> Validation:
        self._average.swap()
        validation = self._validate()
        if validation.score >= self.best.score:
            self.best = validation
            self._best_weights = [p.detach().clone() for p in actor_parameters(self._policy)]
        self._average.swap()
        return validation

    def finish(self) -> Validation:
        """Leave the best averaged actor in the model."""
        for live, best in zip(actor_parameters(self._policy), self._best_weights):
            live.data.copy_(best)
        return self.best
