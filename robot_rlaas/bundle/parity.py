"""Whether the exported network does what the trained one did, on observations that were really made.

Training leaves some of them in parity.npz, with what torch's network answered; here only onnxruntime is needed.
"""

import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from robot_rlaas.bundle.network import OnnxPolicy
from robot_rlaas.cell.errors import InputError

PARITY = "parity.npz"
ALLOWED = 1e-5  # actions are between -1 and 1; the same float32 sums in another order differ by some 1e-7


class Parity(NamedTuple):
    """How well the two networks agree.

    Attributes:
        observations: how many were compared.
        largest_difference: between any two components of their actions.
    """

    observations: int
    largest_difference: float


def check_parity(file: Path, policy: OnnxPolicy) -> Parity:
    """Compare the network's actions with those in `file`.

    Raises:
        InputError: if the file is not one of training's, or the actions differ by more than ALLOWED.
    """
    try:
        with np.load(file, allow_pickle=False) as stored:
            observation, action = stored["observation"], stored["action"]
            pictures = {name: stored[name] for name in policy.cameras}
        fits = observation.shape[1:] == (policy.observation_size,) and action.shape[1:] == (policy.action_size,)
        if not fits or not 0 < len(observation) == len(action):
            raise ValueError(f"observations {observation.shape} and actions {action.shape}")
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(
            f"not the observations and actions of a training ({error})", file=file, fix="train the policy again"
        ) from error
    largest = float(np.abs(policy.answer(observation, pictures) - action).max())
    if not largest <= ALLOWED:  # a NaN is none
        raise InputError(
            f"the exported network's actions differ from the trained one's by up to {largest:.2g}; "
            f"allowed is {ALLOWED:g}, on {len(action)} observations",
            file=file,
            fix="the network was exchanged or badly exported: train the policy again",
        )
    return Parity(len(action), largest)
