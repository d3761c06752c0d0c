"""Training that goes on from another policy."""

import numpy as np
import pytest
import torch

from robot_rlaas.cell.errors import InputError
from robot_rlaas.learn.improve import make_model
from robot_rlaas.learn.network import export_onnx, load_actor
from robot_rlaas.learn.recipe import load_recipe
from robot_rlaas.learn.vec_env import BatchVecEnv

SMOKE = load_recipe("smoke")


def fresh(make_env, seed: int, **changes):
    env, rng = BatchVecEnv(make_env(2)), np.random.default_rng(seed)
    size = env.env.contract.observation_size
    recipe = SMOKE.model_copy(update=changes)
    return make_model(env, recipe, rng.normal(size=size), rng.uniform(0.1, 1, size), seed, "cpu").policy


def test_a_loaded_actor_is_exported_as_the_same_bytes(make_env):
    one, other = fresh(make_env, 0), fresh(make_env, 1)
    network, critic = export_onnx(one), other.value_net.weight.detach().clone()
    assert export_onnx(other) != network
    load_actor(other, network)
    assert export_onnx(other) == network
    assert torch.equal(other.value_net.weight, critic)


def test_other_layers_are_refused(make_env):
    network = export_onnx(fresh(make_env, 0))
    with pytest.raises(InputError, match="other layers than the recipe asks for\n  fix: train with the recipe"):
        load_actor(fresh(make_env, 0, hidden=(16, 16)), network)


def test_no_network_is_refused(make_env):
    with pytest.raises(InputError, match="is no ONNX network"):
        load_actor(fresh(make_env, 0), b"weights")
