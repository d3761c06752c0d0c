"""The policy network: SB3's MlpPolicy with the normaliser in front, and how it leaves as stock SB3 and as ONNX."""

from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.sac import policies as sac
from torch import nn

from robot_rlaas.cell.errors import InputError

SMALLEST_STD = 1e-4


class Normaliser(BaseFeaturesExtractor):
    """(observation - mean) / std, with constants from the demonstrations.

    Args:
        observation_space: a Box of (size,).
        mean, std: (size,).
    """

    def __init__(self, observation_space: spaces.Box, mean: np.ndarray, std: np.ndarray) -> None:
        super().__init__(observation_space, features_dim=int(observation_space.shape[0]))
        self.mean: torch.Tensor
        self.std: torch.Tensor
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32))
        self.register_buffer("std", torch.as_tensor(np.maximum(std, SMALLEST_STD), dtype=torch.float32))

    def forward(self, observation: torch.Tensor) -> torch.Tensor:
        """Observations (n, size) -> normalised (n, size)."""
        return (observation - self.mean) / self.std


def mean_action(policy: ActorCriticPolicy, observation: torch.Tensor) -> torch.Tensor:
    """The policy's deterministic action before clipping, (n, action_size)."""
    features = policy.pi_features_extractor(observation)
    return policy.action_net(policy.mlp_extractor.forward_actor(features))


def acted(policy: Any, observation: np.ndarray) -> np.ndarray:
    """The deterministic policy's actions on observations (n, size), clipped, float32."""
    with torch.no_grad():
        action = mean_action(policy, torch.as_tensor(observation, device=policy.device)).cpu().numpy()
    return np.clip(action, -1.0, 1.0)


class MeanActor:
    """The deterministic actor of an SB3 policy as a `Policy`."""

    def __init__(self, policy: Any) -> None:
        self._policy = policy

    def reset(self, ids: np.ndarray) -> None:
        """See `Policy.reset`. It has no past."""

    def act(self, observation: np.ndarray) -> np.ndarray:
        """See `Policy.act`."""
        return acted(self._policy, observation)


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
    stock = PPO(
        "MlpPolicy",
        cast(Any, None),
        device="cpu",
        seed=model.seed,
        policy_kwargs=_plain(model),
        _init_setup_model=False,
    )
    stock.observation_space, stock.action_space, stock.n_envs = model.observation_space, model.action_space, 1
    stock._setup_model()
    stock.policy.load_state_dict(fold_normaliser(model.policy))
    stock.save(path)


def _plain(model: PPO) -> dict[str, Any]:
    """The policy's arguments without the normaliser."""
    own = ("features_extractor_class", "features_extractor_kwargs")
    return {k: v for k, v in model.policy_kwargs.items() if k not in own}


def export_onnx(policy: ActorCriticPolicy) -> bytes:
    """The deterministic policy as an ONNX file, normaliser and clipping inside, with a free batch size."""
    hidden = cast(nn.Sequential, policy.mlp_extractor.policy_net)
    return _onnx(cast(Normaliser, policy.pi_features_extractor), hidden, cast(nn.Linear, policy.action_net), "Clip")


def export_actor(actor: sac.Actor) -> bytes:
    """The same of a SAC's actor, whose actions are squashed instead of clipped."""
    return _onnx(cast(Normaliser, actor.features_extractor), actor.latent_pi, cast(nn.Linear, actor.mu), "Tanh")


def _onnx(normaliser: Normaliser, net: nn.Sequential, end: nn.Linear, bounded: str) -> bytes:
    """The graph is written node by node: it is the same bytes for the same weights, whatever exporter torch has.

    `bounded`: how actions are kept within bounds, "Clip" or "Tanh".
    """
    hidden = list(net)
    weights: dict[str, torch.Tensor] = {"mean": normaliser.mean, "std": normaliser.std}
    weights |= {"low": torch.tensor(-1.0), "high": torch.tensor(1.0)} if bounded == "Clip" else {}
    nodes = [
        onnx.helper.make_node("Sub", ["observation", "mean"], ["centred"]),
        onnx.helper.make_node("Div", ["centred", "std"], ["x0"]),
    ]
    layers = [layer for layer in hidden if isinstance(layer, nn.Linear)]
    if len(hidden) != 2 * len(layers) or not all(isinstance(layer, nn.Tanh) for layer in hidden[1::2]):
        raise TypeError(f"expected linear layers with tanh between them, not {hidden}")
    for i, layer in enumerate([*layers, end]):
        weights |= {f"w{i}": layer.weight.detach(), f"b{i}": layer.bias.detach()}
        nodes.append(onnx.helper.make_node("Gemm", [f"x{i}", f"w{i}", f"b{i}"], [f"y{i}"], transB=1))
        last = i == len(layers)
        bounds = ["low", "high"] if bounded == "Clip" else []
        to_action = onnx.helper.make_node(bounded, [f"y{i}", *bounds], ["action"])
        nodes.append(to_action if last else onnx.helper.make_node("Tanh", [f"y{i}"], [f"x{i + 1}"]))
    sizes = {"observation": normaliser.mean.numel(), "action": end.out_features}
    ends = [onnx.helper.make_tensor_value_info(k, onnx.TensorProto.FLOAT, ["n", size]) for k, size in sizes.items()]
    tensors = [onnx.numpy_helper.from_array(w.cpu().numpy(), name) for name, w in weights.items()]
    graph = onnx.helper.make_graph(nodes, "policy", ends[:1], ends[1:], tensors)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)


def load_actor(policy: ActorCriticPolicy, network: bytes) -> None:
    """Put the actor and the normaliser of an exported network into a policy: the inverse of `export_onnx`.

    Raises:
        InputError: if the network is no ONNX file, or not of the policy's layers.
    """
    try:
        graph = onnx.load_model_from_string(network).graph
        given = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    except Exception as error:  # protobuf raises errors of its own
        raise InputError(f"the policy to start from is no ONNX network ({type(error).__name__})") from error
    normaliser = cast(Normaliser, policy.pi_features_extractor)
    hidden = [layer for layer in cast(nn.Sequential, policy.mlp_extractor.policy_net) if isinstance(layer, nn.Linear)]
    into: dict[str, torch.Tensor] = {"mean": normaliser.mean, "std": normaliser.std}
    for i, layer in enumerate([*hidden, cast(nn.Linear, policy.action_net)]):
        into |= {f"w{i}": layer.weight.data, f"b{i}": layer.bias.data}
    if "low" not in given:
        raise InputError("the policy to start from was practised, not trained", fix="start from a trained one, or none")
    shapes = {name: tuple(tensor.shape) for name, tensor in into.items()}
    if shapes != {name: array.shape for name, array in given.items() if name not in ("low", "high")}:
        raise InputError(
            "the policy to start from has other layers than the recipe asks for",
            fix="train with the recipe it was trained with, or start from none",
        )
    for name, tensor in into.items():
        tensor.copy_(torch.tensor(given[name]))
