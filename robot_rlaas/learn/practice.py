"""Learning from attempts, one after another, wherever they are made: in simulation, or on the arm beside it."""

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.policies import BaseModel
from torch import nn

from robot_rlaas.cell.contract import Contract
from robot_rlaas.cell.hardware import load_hardware
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.data.attempts import Practised, practised
from robot_rlaas.data.episode import Episode
from robot_rlaas.env.insertion.felt import felt_rewards
from robot_rlaas.env.spaces import action_space, observation_space
from robot_rlaas.env.tasks import contract_of
from robot_rlaas.learn.checkpoint import State, into_optimiser, of_optimiser
from robot_rlaas.learn.clone import BATCH, LEARNING_RATE, statistics
from robot_rlaas.learn.network import Normaliser, export_actor
from robot_rlaas.learn.practice_recipe import PracticeRecipe
from robot_rlaas.learn.rlpd import RLPD, EnsemblePolicy

LONGEST = 200_000  # control periods that are remembered: nearly three hours of attempts at 20 Hz


class Learner:
    """A policy that begins as a clone of demonstrations and gets better by attempts.

    It is a `Policy`, for any number of rows and without exploration: what is exported. First comes `clone` or `resume`.

    Args:
        cell: for what the attempts are worth.
        demonstrations: successes.
        recipe: settings.
        seed: of the weights and of the order of samples.

    Attributes:
        model: the SB3 model.
        periods: control periods that were practised.
    """

    def __init__(self, cell: CellSpec, demonstrations: Sequence[Episode], recipe: PracticeRecipe, seed: int) -> None:
        torch.set_num_threads(1)  # small layers: a second thread only takes time from the arm's processes
        self._cell, self._recipe, self._seed, self.periods = cell, recipe, seed, 0
        self._stop_N = load_hardware(cell.robot.hardware).force_limit_N
        self.model = _model(contract_of(cell), recipe, *statistics(list(demonstrations)), seed)
        for episode in demonstrations:
            shown = practised(episode, version=0, at_s=0.0)
            self._remember(self.model.demonstrated, shown, np.ones(len(shown.action), bool))

    def clone(self, demonstrations: Sequence[Episode], on_epoch: Callable[[int], None] = lambda done: None) -> None:
        """Begin as a clone of the demonstrations. `on_epoch` hears how many epochs are done."""
        _clone(self.model.actor, demonstrations, self._recipe, self._seed, on_epoch)
        self.model.clone.load_state_dict(self.model.actor.state_dict())

    @property
    def due(self) -> int:
        """Updates that the practised periods allow and that were not made yet."""
        if not cast(ReplayBuffer, self.model.replay_buffer).size():
            return 0  # all that was done so far was cut at once
        return self._recipe.updates_per_period * self.periods - self.model.updates

    def take(self, attempt: Practised) -> None:
        """An attempt was made. What a person did in it counts as demonstrated, too."""
        everything = np.ones(len(attempt.action), bool)
        self._remember(cast(ReplayBuffer, self.model.replay_buffer), attempt, everything)
        self._remember(self.model.demonstrated, attempt, attempt.corrected)
        self.periods += len(attempt.action)

    def learn(self, updates: int) -> None:
        """Make so many updates."""
        first, last = self._recipe.hold
        self.model.hold = first + (last - first) * min(1.0, self.periods / self._recipe.hold_periods)
        self.model.train(updates, self._recipe.batch_size)

    def reset(self, ids: np.ndarray) -> None:
        """See `Policy.reset`."""

    def act(self, observation: np.ndarray) -> np.ndarray:
        """See `Policy.act`."""
        with torch.no_grad():
            return self.model.actor(torch.as_tensor(observation), deterministic=True).numpy()

    def network(self) -> bytes:
        """The policy as it is, as an ONNX file."""
        return export_actor(self.model.actor)

    def cloned(self) -> bytes:
        """The same of the demonstrations alone."""
        return export_actor(self.model.clone)

    def state(self) -> State:
        """The networks and their optimisers; what was practised is kept elsewhere, attempt by attempt."""
        arrays = dict[str, np.ndarray]()
        for name, module in self._modules().items():
            arrays |= {f"{name}/{key}": tensor.numpy().copy() for key, tensor in module.state_dict().items()}
        for name, module in self._optimised().items():
            arrays |= of_optimiser(module.optimizer, f"{name}_adam/")
        return State(arrays, {"updates": self.model.updates})

    def resume(self, state: State) -> None:
        """The inverse of `state`."""
        for name, module in self._modules().items():
            module.load_state_dict({key: torch.tensor(array) for key, array in state.under(f"{name}/").items()})
        for name, module in self._optimised().items():
            into_optimiser(module.optimizer, state, f"{name}_adam/")
        self.model._n_updates = state.words["updates"]

    def _modules(self) -> dict[str, nn.Module]:
        return {"policy": self.model.policy, "clone": self.model.clone}

    def _optimised(self) -> dict[str, BaseModel]:
        return {"actor": self.model.actor, "critic": self.model.critic}

    def _remember(self, buffer: ReplayBuffer, attempt: Practised, which: np.ndarray) -> None:
        """Its transitions that begin in these periods (T,) bool, some periods ahead each.

        What begins too late before a cut to be known is left out; what begins too late before the end has ended. An
        attempt that failed before its time was stopped, by too much force as a rule, which nobody saw any more.
        """
        recipe, (seen, action, success) = self._recipe, attempt[:3]
        stopped = attempt.ended and not success and len(action) < self._cell.horizon - 1
        reward = felt_rewards(self._cell, seen, action, success, recipe.caution, self._stop_N if stopped else 0.0)
        weights = recipe.discount ** np.arange(recipe.steps_ahead)
        for t in np.flatnonzero(which):
            ahead, then = reward[t : t + recipe.steps_ahead], t + recipe.steps_ahead
            over = then >= len(action)
            if attempt.ended or not over:
                worth, end = np.array(ahead @ weights[: len(ahead)]), np.array([over])
                buffer.add(seen[t], seen[min(then, len(action) - 1)], action[t], worth, end, [{}])


def _model(contract: Contract, recipe: PracticeRecipe, mean: np.ndarray, std: np.ndarray, seed: int) -> RLPD:
    """Without an environment: attempts are handed to it."""
    model = RLPD(
        EnsemblePolicy,
        cast(Any, None),
        learning_rate=recipe.learning_rate,
        buffer_size=LONGEST,
        tau=recipe.target_rate,
        gamma=recipe.discount**recipe.steps_ahead,
        ent_coef=cast(Any, recipe.entropy),
        target_entropy=0.0,
        replay_buffer_kwargs={"handle_timeout_termination": False},
        seed=seed,
        device="cpu",
        policy_kwargs={
            "net_arch": {"pi": list(recipe.hidden), "qf": list(recipe.critic_hidden)},
            "activation_fn": nn.Tanh,
            "n_critics": recipe.critics,
            "optimizer_kwargs": {"fused": True},
            "features_extractor_class": Normaliser,
            "features_extractor_kwargs": {"mean": mean, "std": std},
        },
        _init_setup_model=False,
    )
    model.observation_space, model.action_space = observation_space(contract, {}), action_space(contract)
    model.n_envs = 1
    model._setup_model()
    model.actor_every, model.critics_first = recipe.actor_every, recipe.critics_first
    return model


def _clone(
    actor: Any, episodes: Sequence[Episode], recipe: PracticeRecipe, seed: int, on_epoch: Callable[[int], None]
) -> None:
    """Fit the actor's means to the demonstrated actions; its spread is the recipe's, whatever it sees."""
    rng = np.random.default_rng(seed)
    actor.log_std.weight.data.zero_()
    actor.log_std.bias.data.fill_(float(np.log(recipe.noise_std[0])))
    seen = torch.as_tensor(np.concatenate([e.observation for e in episodes]))
    wanted = torch.as_tensor(np.concatenate([e.action for e in episodes]))
    each = -(-len(wanted) // BATCH)  # gradient steps
    optimiser = torch.optim.Adam(actor.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, recipe.clone_epochs * each)
    for step in range(recipe.clone_epochs * each):
        if step % each == 0:
            on_epoch(step // each)
        batch = torch.as_tensor(rng.integers(0, len(wanted), BATCH))
        error = (actor(seen[batch], deterministic=True) - wanted[batch]).square().mean()
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
        schedule.step()
