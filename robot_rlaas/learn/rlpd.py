"""Reinforcement learning from demonstrations (RLPD, arXiv 2302.02948), as a stable-baselines3 SAC.

Half of every batch was demonstrated, half practised; the critics are an ensemble with layer norms, which learns towards
the least of two of its members; more than one update follows every step that is taken.

Beyond the paper, for an arm that must not be thrown about: the actor begins as a clone of the demonstrations, and is
held to what the clone would do, wherever it is, less and less.
"""

from itertools import pairwise
from typing import Any, cast

import torch
from gymnasium import spaces
from stable_baselines3 import SAC
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.policies import BaseModel
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.sac.policies import Actor, SACPolicy
from torch import nn
from torch.nn import functional

SUBSET = 2  # of the target critics, drawn anew for every update


class Ensemble(BaseModel):
    """Critics of one shape, evaluated together: linear layers, each but the last with a layer norm and a ReLU.

    The arguments are those of SB3's `ContinuousCritic`, as far as they matter here.
    """

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Box,
        net_arch: list[int],
        features_extractor: BaseFeaturesExtractor,
        features_dim: int,
        n_critics: int,
        **_: Any,
    ) -> None:
        super().__init__(observation_space, action_space, features_extractor=features_extractor)
        sizes = [features_dim + int(action_space.shape[0]), *net_arch, 1]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for before, after in pairwise(sizes):
            bound = before**-0.5
            self.weights.append(nn.Parameter(torch.empty(n_critics, before, after).uniform_(-bound, bound)))
            self.biases.append(nn.Parameter(torch.zeros(n_critics, 1, after)))

    def forward(
        self, observation: torch.Tensor, action: torch.Tensor, members: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Values (members, n) of actions (n, action_size): of these critics, or of all."""
        assert self.features_extractor is not None
        x = torch.cat([self.extract_features(observation, self.features_extractor), action], dim=1)
        layers = list(zip(self.weights, self.biases))
        if members is not None:
            layers = [(weight[members], bias[members]) for weight, bias in layers]
        *hidden, (last, offset) = layers
        values = x.expand(len(last), *x.shape)
        for weight, bias in hidden:
            values = torch.baddbmm(bias, values, weight)
            values = functional.relu(functional.layer_norm(values, values.shape[-1:]))
        return torch.baddbmm(offset, values, last)[..., 0]


class EnsemblePolicy(SACPolicy):
    """SB3's SAC policy with that ensemble for a critic."""

    def make_critic(self, features_extractor: BaseFeaturesExtractor | None = None) -> Any:
        """See `SACPolicy`."""
        return Ensemble(**self._update_features_extractor(self.critic_kwargs, features_extractor)).to(self.device)


class RLPD(SAC):
    """SAC that also learns from demonstrations.

    Attributes:
        demonstrated: their transitions, beside those of `replay_buffer`, which were practised.
        clone: the actor is held to what this one would do.
        hold: how strongly; 0 for not at all. A difference of 1 in the mean square weighs as much as the mean value.
        actor_every: updates of the critics between two of the actor.
        critics_first: so many updates of the critics before the first of the actor.
        updates: of the critics, so far.
    """

    demonstrated: ReplayBuffer
    clone: Actor
    hold: float = 0.0
    actor_every: int = 1
    critics_first: int = 0

    def _setup_model(self) -> None:
        super()._setup_model()
        self.demonstrated = ReplayBuffer(
            self.buffer_size,
            self.observation_space,
            self.action_space,
            self.device,
            handle_timeout_termination=False,
        )
        self.clone = self.policy.make_actor()

    @property
    def updates(self) -> int:
        """See the attributes."""
        return self._n_updates

    def train(self, gradient_steps: int, batch_size: int = 64) -> None:
        """So many updates of the critics, half of each batch demonstrated, and those of the actor that are due."""
        assert self.replay_buffer is not None
        self.policy.set_training_mode(True)
        for _ in range(gradient_steps):
            practised = self.replay_buffer.sample(batch_size // 2)
            shown = self.demonstrated.sample(batch_size // 2)
            seen = torch.cat([practised.observations, shown.observations])
            self._judge_better(seen, practised, shown)
            self._n_updates += 1
            if self._n_updates > self.critics_first and self._n_updates % self.actor_every == 0:
                self._act_better(seen)
        self.policy.set_training_mode(False)

    def _judge_better(self, seen: torch.Tensor, *halves: ReplayBufferSamples) -> None:
        """One step of all critics towards the reward and what two target critics at least expect to follow."""
        action, then = (
            torch.cat([getattr(half, name) for half in halves]) for name in ("actions", "next_observations")
        )
        reward, done = (torch.cat([getattr(half, name)[:, 0] for half in halves]) for name in ("rewards", "dones"))
        with torch.no_grad():
            following, _ = self.actor.action_log_prob(then)
            members = torch.randperm(self.policy.critic_kwargs["n_critics"])[:SUBSET]
            expected = self.critic_target(then, following, members).min(0).values
            target = reward + (1 - done) * self.gamma * expected
        loss = (self.critic(seen, action) - target).square().mean(1).sum()
        self.critic.optimizer.zero_grad()
        loss.backward()
        self.critic.optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(list(self.critic_target.parameters()), list(self.critic.parameters()), self.tau)

    def _act_better(self, seen: torch.Tensor) -> None:
        """One step of the actor towards what the critics value, held to what the clone would do.

        Values are measured by their own size, as in TD3+BC (arXiv 2106.06860): the hold means the same in every cell.
        """
        mean, log_std, _ = self.actor.get_action_dist_params(seen)
        action, log_prob = cast(Any, self.actor.action_dist).log_prob_from_params(mean, log_std)
        value = self.critic(seen, action).mean(0)
        with torch.no_grad():
            cloned = self.clone(seen, deterministic=True)
        away = (torch.tanh(mean) - cloned).square().mean()
        gain = value.mean() / value.detach().abs().mean()
        loss = self.ent_coef_tensor * log_prob.mean() - gain + self.hold * away
        self.actor.optimizer.zero_grad()
        loss.backward()
        self.actor.optimizer.step()
