"""Policies that Stable-Baselines3 saved. Nothing in their zips is unpickled, imported or called."""

import io
import itertools
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional, modules

from robot_rlaas.cell.contract import Contract
from robot_rlaas.cell.errors import InputError

Tensor = torch.Tensor
Activation = Callable[[Tensor], Tensor]

SB3 = "stock MlpPolicy of PPO, A2C, SAC, TD3 or DDPG with actions in [-1, 1]"
TANH, RELU = str(modules.activation.Tanh), str(modules.activation.ReLU)  # as Stable-Baselines3 writes them
ACTIVATIONS: dict[str, Activation] = {
    TANH: torch.tanh,
    RELU: functional.relu,
    str(modules.activation.ELU): functional.elu,
    str(modules.activation.GELU): functional.gelu,
    str(modules.activation.LeakyReLU): functional.leaky_relu,
    str(modules.activation.SiLU): functional.silu,
}
FLATTEN = "<class 'stable_baselines3.common.torch_layers.FlattenExtractor'>"


class Layer(NamedTuple):
    """A linear layer: weight (out, in) and bias (out,)."""

    weight: Tensor
    bias: Tensor


class Mlp:
    """A feed-forward network as a `Policy`, its action clipped to [-1, 1].

    Args:
        layers: from the observation to the action.
        activation: between them.
        squash: whether a tanh follows the last one.
    """

    def __init__(self, layers: list[Layer], activation: Activation, squash: bool) -> None:
        self._layers, self._activation, self._squash = layers, activation, squash

    @property
    def sizes(self) -> tuple[int, int]:
        """Of the observation and of the action."""
        return self._layers[0].weight.shape[1], self._layers[-1].weight.shape[0]

    def reset(self, ids: np.ndarray) -> None:
        """See `Policy.reset`. A feed-forward network has no past."""

    @torch.no_grad()
    def act(self, observation: np.ndarray) -> np.ndarray:
        """See `Policy.act`: (n, observation_size) -> (n, action_size) float32, for any n."""
        x = torch.tensor(observation, dtype=torch.float32)
        for layer in self._layers[:-1]:
            x = self._activation(functional.linear(x, *layer))
        x = functional.linear(x, *self._layers[-1])
        return (torch.tanh(x) if self._squash else x).clamp(-1.0, 1.0).numpy()


def load_sb3(path: Path, contract: Contract) -> Mlp:
    """The deterministic policy in a zip that Stable-Baselines3 saved.

    `PPO.load` would unpickle what the zip holds. Here the weights are read as tensors only, and the activation from the
    text that Stable-Baselines3 writes beside each pickle. Statistics of a `VecNormalize` are a pickle of their own and
    are not read: a policy trained behind one needs them folded into its first layer.

    Raises:
        InputError: if it is damaged, of another kind of policy, or made for other sizes.
    """
    data, weights = _sb3_content(path)
    try:
        network = _sb3_network(data, weights)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else error
        raise InputError(
            f"not the {SB3}: {reason}", file=path, fix="save such a policy, or export the network as ONNX"
        ) from error
    _same_sizes(network.sizes, contract, path)
    torch.set_num_threads(1)  # the same bits whatever the number of cores
    return network


def _sb3_content(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The readable settings and the weights."""
    try:
        with zipfile.ZipFile(path) as archive:
            data = json.loads(archive.read("data"))
            content = io.BytesIO(archive.read("policy.pth"))
        weights = torch.load(content, map_location="cpu", weights_only=True)
    except Exception as error:  # zipfile, json and torch raise many kinds; a pickle that is more than tensors, another
        reason = str(error).strip("\n").splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"not a Stable-Baselines3 zip of plain tensors: {reason}", file=path, fix="save it again with model.save()"
        ) from error
    if not isinstance(data, dict) or not isinstance(weights, dict):
        raise InputError("not a Stable-Baselines3 zip", file=path, fix="save it again with model.save()")
    return data, {str(k): v.float() for k, v in weights.items() if isinstance(v, Tensor)}


def _sb3_network(data: dict[str, Any], weights: dict[str, Tensor]) -> Mlp:
    """The actor. The usual errors of reading a dictionary, and ValueError, say what is not stock."""
    settings = data["policy_kwargs"]
    _sb3_is_stock(data, settings, weights)
    if "actor.latent_pi.0.weight" in weights or "actor.mu.weight" in weights:  # SAC
        layers, squash = [*_stack(weights, "actor.latent_pi."), _layer(weights, "actor.mu.")], True
    elif "actor.mu.0.weight" in weights:  # TD3, DDPG
        layers, squash = _stack(weights, "actor.mu."), True
    else:  # PPO, A2C; log_std is there where the actions are continuous
        _ = weights["log_std"]
        layers, squash = [*_stack(weights, "mlp_extractor.policy_net."), _layer(weights, "action_net.")], False
    for before, after in itertools.pairwise(layers):
        if before.weight.shape[0] != after.weight.shape[1]:
            raise ValueError(f"a layer of {before.weight.shape[0]} numbers feeds one of {after.weight.shape[1]}")
    named = settings.get("activation_fn", RELU if squash else TANH)
    if named not in ACTIVATIONS:
        raise ValueError(f"its activation is {named}; allowed are {', '.join(ACTIVATIONS)}")
    return Mlp(layers, ACTIVATIONS[named], squash)


def _sb3_is_stock(data: dict[str, Any], settings: dict[str, Any], weights: dict[str, Tensor]) -> None:
    """Refuse what the weights alone do not determine."""
    module = data["policy_class"]["__module__"]
    if not module.startswith("stable_baselines3."):
        raise ValueError(f"its policy class comes from '{module}'")
    if settings.get("features_extractor_class", FLATTEN) != FLATTEN or any(
        "features_extractor" in name for name in weights
    ):
        raise ValueError("it has a features extractor")
    if settings.get("squash_output"):
        raise ValueError("it has squash_output")
    for space in ("observation_space", "action_space"):
        kind = data[space][":type:"]
        if not kind.endswith("spaces.box.Box'>"):
            raise ValueError(f"its {space} is {kind}")
    for side, end in (("low", -1.0), ("high", 1.0)):
        bounds = [float(x) for x in data["action_space"][side].strip("[]").split()]
        if any(bound != end for bound in bounds):
            raise ValueError(f"its action space has {side} {bounds}")


def _stack(weights: dict[str, Tensor], prefix: str) -> list[Layer]:
    """The linear layers of an nn.Sequential in which every second module is an activation."""
    numbers = {name.removeprefix(prefix).partition(".")[0] for name in weights if name.startswith(prefix)}
    expected = [str(2 * i) for i in range(len(numbers))]
    if numbers != set(expected):
        raise ValueError(f"{prefix}* has modules {sorted(numbers)}")
    return [_layer(weights, f"{prefix}{number}.") for number in expected]


def _layer(weights: dict[str, Tensor], prefix: str) -> Layer:
    layer = Layer(weights[f"{prefix}weight"], weights[f"{prefix}bias"])
    if layer.weight.dim() != 2 or layer.bias.shape != layer.weight.shape[:1]:
        raise ValueError(f"{prefix}weight has shape {tuple(layer.weight.shape)}")
    return layer


def _same_sizes(sizes: tuple[int, int], contract: Contract, file: Path) -> None:
    wanted = (contract.observation_size, contract.action_size)
    if sizes != wanted:
        raise InputError(
            f"the network maps {sizes[0]} numbers to {sizes[1]}; the contract says {wanted[0]} to {wanted[1]}",
            file=file,
            fix="train it on this cell's observation and action vectors",
        )
