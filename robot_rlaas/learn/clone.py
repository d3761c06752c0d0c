"""Behaviour cloning of the demonstrations, into the very policy that PPO then improves."""

from collections.abc import Callable

import numpy as np
import torch
from stable_baselines3.common.policies import ActorCriticPolicy

from robot_rlaas.cell.errors import InputError
from robot_rlaas.data.episode import Episode
from robot_rlaas.learn.finite import NotFinite, stopped
from robot_rlaas.learn.network import mean_action

BATCH = 256
LEARNING_RATE = 1e-3


def statistics(episodes: list[Episode]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (size,) of the demonstrated observations."""
    observations = np.concatenate([e.observation for e in episodes])
    return observations.mean(0), observations.std(0)


def successes(episodes: list[Episode]) -> list[Episode]:
    """The episodes worth imitating.

    Raises:
        InputError: if there is none.
    """
    kept = [e for e in episodes if e.success]
    if not kept:
        raise InputError("no demonstration succeeded: there is nothing to imitate", fix="record others")
    return kept


def returns(episode: Episode, discount: float) -> np.ndarray:
    """Discounted reward to go (T,)."""
    result = np.zeros_like(episode.reward)
    ahead = 0.0
    for t in reversed(range(len(result))):
        ahead = episode.reward[t] + discount * ahead
        result[t] = ahead
    return result


def clone(
    policy: ActorCriticPolicy,
    episodes: list[Episode],
    epochs: int,
    discount: float,
    seed: int,
    on_epoch: Callable[[int], None] = lambda done: None,
) -> float:
    """Fit the actor to the demonstrated actions and the critic to the demonstrated returns.

    Args:
        policy: trained in place.
        episodes: successful ones.
        epochs: how often each frame is used, on average; the learning rate falls to zero along a cosine.
        discount: of the critic's returns.
        seed: of the order of samples.
        on_epoch: hears how many are done.

    Returns:
        The actor's last mean squared error, in squared fractions of an action.

    Raises:
        StageError: if a gradient is no number, and `finite.watch_gradients` watches them.
    """
    rng = np.random.default_rng(seed)
    observation = torch.as_tensor(np.concatenate([e.observation for e in episodes]))
    action = torch.as_tensor(np.concatenate([e.action for e in episodes]))
    to_go = torch.as_tensor(np.concatenate([returns(e, discount) for e in episodes]))
    optimiser = torch.optim.Adam(policy.parameters(), lr=LEARNING_RATE)
    each = -(-len(action) // BATCH)  # gradient steps
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(epochs * each, 1))
    error = torch.tensor(float("nan"))
    for step in range(epochs * each):
        if step % each == 0:
            on_epoch(step // each)
        batch = torch.as_tensor(rng.integers(0, len(action), BATCH))
        error = (mean_action(policy, observation[batch]) - action[batch]).square().mean()
        value_error = (policy.predict_values(observation[batch])[:, 0] - to_go[batch]).square().mean()
        optimiser.zero_grad()
        try:
            (error + 0.5 * value_error).backward()
        except NotFinite as found:
            raise stopped(f"epoch {step // each + 1} of {epochs} of cloning", found) from found
        optimiser.step()
        schedule.step()
    return float(error.detach())
