"""What is no number is refused by name where it arises: one NaN in a gradient, and the whole network is NaN."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from stable_baselines3.common.policies import ActorCriticPolicy
from torch.autograd.graph import register_multi_grad_hook
from torch.nn.utils import get_total_norm

from robot_rlaas.cell.contract import Contract, components
from robot_rlaas.cell.errors import InputError, StageError
from robot_rlaas.data.episode import Episode
from robot_rlaas.env.batch import BatchEnv, Step

LOSSES = {"policy_net": "actor's loss", "action_net": "actor's loss", "log_std": "exploration noise's loss"}
CRITIC = "critic's loss"


class NotFinite(ArithmeticError):
    """Something in training is NaN or infinite; the message names it."""


def stopped(at: str, error: NotFinite) -> StageError:
    """Training ends there, `at` so many updates or epochs."""
    return StageError(f"training stopped at {at}: {error}; nothing was learned from it")


def check_demonstrations(episodes: Sequence[Episode], contract: Contract, dataset: Path) -> None:
    """Refuse demonstrations, of those that would be learned from, with a value that is no number.

    Raises:
        InputError: names the first such value, and how many episodes have one.
    """
    parts = {"observation": components(contract.observation), "action": components(contract.action), "reward": [""]}
    found = []
    for i, episode in enumerate(episodes):
        for part, names in parts.items():
            values = np.asarray(getattr(episode, part)).reshape(len(episode.action), -1)
            bad = np.argwhere(~np.isfinite(values))
            if episode.success and len(bad):
                frame, column = bad[0]
                name = " ".join((part, names[column])).strip()
                found.append((i, f"{name} is {values[frame, column]} in frame {frame} of episode {i}"))
                break
    if found:
        others = f"; {len(found) - 1} more episodes have such values" if len(found) > 1 else ""
        fix = f"leave it out: 'rlaas demos clean {dataset} --out CLEANED'"
        raise InputError(f"{found[0][1]}{others}: training would end in NaN", file=dataset, fix=fix)


def check_step(env: BatchEnv, step: Step, episode: np.ndarray) -> None:
    """Refuse what a step brought if some of it is no number.

    Args:
        env: whose step it is.
        step: what it returned.
        episode: (n,) the numbers of the episodes that it was a step of.

    Raises:
        NotFinite: names the reward's term or the observation's axis, and the episode.
    """
    if np.isfinite(step.reward).all() and np.isfinite(step.final_observation).all():
        return
    terms = {f"the reward's term '{name}'": values for name, values in step.terms.items()}
    columns = zip(components(env.contract.observation), step.final_observation.T)
    for name, values in (terms | {f"the observation's {name}": column for name, column in columns}).items():
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise NotFinite(f"{name} is {values[bad[0]]} in episode {episode[bad[0]]} of the training's sequence")


def watch_gradients(policy: ActorCriticPolicy) -> None:
    """From now on gradients that are no numbers raise `NotFinite` before anything is learned from them.

    Actor and critic share no weights, so whose gradient it is says whose loss it was. All of a backward pass are looked
    at together: on a GPU every look waits for it.
    """
    named = dict(policy.named_parameters())
    losses = [next((of for part, of in LOSSES.items() if part in name), CRITIC) for name in named]

    def check(gradients: Sequence[torch.Tensor | None]) -> None:
        there = {i: gradient for i, gradient in enumerate(gradients) if gradient is not None}
        if not get_total_norm(list(there.values()), math.inf).isfinite():
            first = next(i for i, gradient in there.items() if not gradient.isfinite().all())
            raise NotFinite(f"the {losses[first]} has a gradient that is not finite")

    register_multi_grad_hook(list(named.values()), check)
