"""The policy network: SB3's MlpPolicy with the normaliser in front, and how it leaves as stock SB3 and as ONNX."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

SMALLEST_STD = 1e-4


class Normaliser(BaseFeaturesExtractor):
    """(observation - mean) / std, with constants from the demonstrations.

    Args:
        observation_space: a Box of (size,).
        mean, std: (size,).
    """

    def __init__(self, observation_space: spaces.Box, mean: np.ndarray, std: np.ndarray) -> None:
        super().__init__(observation_space, features_dim=int(observation_space.shape[0]))
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.as_tensor(np.maximum(std, SMALLEST_STD), dtype=torch.float32))

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        """Observations (n, size) -> normalised (n, size)."""
        return (observation - self.mean) / self.std


def mean_action(policy: ActorCriticPolicy, observation: torch.Tensor) -> torch.Tensor:
    """The policy's deterministic action before clipping, (n, action_size)."""
    features = policy.pi_features_extractor(observation)
    return policy.action_net(policy.mlp_extractor.forward_actor(features))


def fold_normaliser(policy: ActorCriticPolicy) -> dict[str, torch.Tensor]:
    """Weights of a stock MlpPolicy that computes the same: the normaliser moved into the first layers."""
    weights = {k: v.clone() for k, v in policy.state_dict().items() if "features_extractor" not in k}
    normaliser = policy.features_extractor
    for net in ("policy_net", "value_net"):
        w, b = f"mlp_extractor.{net}.0.weight", f"mlp_extractor.{net}.0.bias"
        scaled = weights[w].double() / normaliser.std.double()
        weights[b] = (weights[b].double() - scaled @ normaliser.mean.double()).float()
        weights[w] = scaled.float()
    return weights


def save_stock(model: PPO, path: Path) -> None:
    """Save as a zip that `stable_baselines3.PPO.load` reads where this package is not installed."""
    stock = PPO("MlpPolicy", None, device="cpu", seed=model.seed, policy_kwargs=_plain(model), _init_setup_model=False)
    stock.observation_space, stock.action_space, stock.n_envs = model.observation_space, model.action_space, 1
    stock._setup_model()
    stock.policy.load_state_dict(fold_normaliser(model.policy))
    stock.save(path)


def _plain(model: PPO) -> dict[str, Any]:
    """The policy's arguments without the normaliser."""
    own = ("features_extractor_class", "features_extractor_kwargs")
    return {k: v for k, v in model.policy_kwargs.items() if k not in own}


def export_onnx(policy: ActorCriticPolicy, path: Path) -> None:
    """Write the deterministic policy, normaliser and clipping inside, with a free batch size."""

    class Actor(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features = policy.pi_features_extractor
            self.hidden = policy.mlp_extractor.policy_net
            self.action = policy.action_net

        def forward(self, observation: torch.Tensor) -> torch.Tensor:
            return torch.clamp(self.action(self.hidden(self.features(observation))), -1.0, 1.0)

    size = policy.observation_space.shape[0]
    torch.onnx.export(
        Actor().eval().cpu(),
        (torch.zeros(2, size),),
        str(path),
        input_names=["observation"],
        output_names=["action"],
        dynamic_axes={"observation": {0: "n"}, "action": {0: "n"}},
        opset_version=17,
        dynamo=False,
    )
