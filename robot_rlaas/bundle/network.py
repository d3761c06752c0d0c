"""Run a policy network with onnxruntime: no torch, one thread, the same answer every time."""

from pathlib import Path
from typing import Any

import numpy as np

from robot_rlaas.cell.contract import Contract
from robot_rlaas.cell.errors import InputError

INPUT, OUTPUT = "observation", "action"


class OnnxPolicy:
    """A feed-forward network as a `Policy`; its normaliser is inside it.

    Args:
        source: a file, or its content. Input "observation" float32 (n, observation_size), output "action" float32
            (n, action_size).
        contract: if given, the sizes must be its sizes.
        threads: of one call. One is the quickest for a small network.

    Raises:
        InputError: if this is not such a network.
    """

    def __init__(self, source: Path | str | bytes, contract: Contract | None = None, threads: int = 1) -> None:
        file = None if isinstance(source, bytes) else Path(source)
        self._session = _session(source, file, threads)
        self.observation_size = _size(self._session.get_inputs(), INPUT, file)
        self.action_size = _size(self._session.get_outputs(), OUTPUT, file)
        if contract is not None:
            wanted = (contract.observation_size, contract.action_size)
            if wanted != (self.observation_size, self.action_size):
                raise InputError(
                    f"the network maps {self.observation_size} numbers to {self.action_size}; "
                    f"the contract says {wanted[0]} to {wanted[1]}",
                    file=file,
                    fix="export the network and its contract from the same training run",
                )

    def reset(self, ids: np.ndarray) -> None:
        """See `Policy.reset`. A feed-forward network has no past."""

    def act(self, observation: np.ndarray) -> np.ndarray:
        """See `Policy.act`: (n, observation_size) -> (n, action_size) float32, for any n."""
        rows = np.ascontiguousarray(observation, dtype=np.float32)
        return self._session.run([OUTPUT], {INPUT: rows})[0]


def _session(source: Path | str | bytes, file: Path | None, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.use_deterministic_compute = True
    options.log_severity_level = 4
    try:
        content = source if isinstance(source, bytes) else Path(source).read_bytes()
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except OSError as error:
        raise InputError(f"cannot read the network ({error})", file=file, fix="train a policy first") from error
    except Exception as error:  # onnxruntime raises a class of its own for every kind of bad file
        reason = str(error).splitlines()[0]
        raise InputError(f"not a usable ONNX network: {reason}", file=file, fix="export it again") from error


def _size(sides: list[Any], name: str, file: Path | None) -> int:
    found = [(s.name, s.type, list(s.shape)) for s in sides]
    if len(found) == 1 and found[0][:2] == (name, "tensor(float)") and len(found[0][2]) == 2:
        batch, size = found[0][2]
        if isinstance(size, int) and not isinstance(batch, int):
            return size
    raise InputError(
        f"the network has {found}; allowed is one '{name}', tensor(float), of shape [n, size] with n left open",
        file=file,
        fix="export it with these names and a dynamic first axis",
    )
