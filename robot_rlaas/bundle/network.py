"""Run a policy network with onnxruntime: no torch, one thread, the same answer every time."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from robot_rlaas.cell.cameras import CameraSpec
from robot_rlaas.cell.contract import Contract
from robot_rlaas.cell.errors import InputError, StageError

if TYPE_CHECKING:
    from robot_rlaas.env.batch import BatchEnv

INPUT, OUTPUT = "observation", "action"
NESTED: dict[str, dict[int, str]] = {  # the fields of onnx.proto that lead to tensors, by number
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        **{5: "TensorProto", 10: "TensorProto", 22: "SparseTensorProto", 23: "SparseTensorProto"},
        **{6: "GraphProto", 11: "GraphProto"},
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
    "TensorProto": {},
}
EXTERNAL_DATA, DATA_LOCATION = 13, 14  # of a TensorProto


class OnnxPolicy:
    """A feed-forward network as a `Policy`; its normaliser is inside it.

    One that also takes pictures has to be told where it acts, by `BatchEnv.tell`: its pictures come from there.

    Args:
        source: a file, or its content. Input "observation" float32 (n, observation_size), output "action" float32
            (n, action_size); beside the observation, under cameras' names, pictures uint8 (n, height, width, 3).
        contract: if given, the sizes must be its sizes.
        threads: of one call. One is the quickest for a small network.
        cameras: that it may see through, and whose pictures must have its sizes.

    Attributes:
        cameras: the names of those that it sees through.

    Raises:
        InputError: if this is not such a network, or one whose weights lie in another file, which no hash covers.
    """

    def __init__(
        self,
        source: Path | str | bytes,
        contract: Contract | None = None,
        threads: int = 1,
        cameras: Mapping[str, CameraSpec] = MappingProxyType({}),
    ) -> None:
        file = None if isinstance(source, bytes) else Path(source)
        self._session = _session(source, file, threads)
        inputs = self._session.get_inputs()
        self.cameras = tuple(side.name for side in inputs if side.name != INPUT and side.type == "tensor(uint8)")
        self.observation_size = _size([side for side in inputs if side.name not in self.cameras], INPUT, file)
        self.action_size = _size(self._session.get_outputs(), OUTPUT, file)
        self._env: BatchEnv | None = None
        for side in inputs:
            if side.name in self.cameras:
                _same_pictures(side.name, list(side.shape), cameras, file)
        if contract is not None:
            wanted = (contract.observation_size, contract.action_size)
            if wanted != (self.observation_size, self.action_size):
                raise InputError(
                    f"the network maps {self.observation_size} numbers to {self.action_size}; "
                    f"the contract says {wanted[0]} to {wanted[1]}",
                    file=file,
                    fix="export the network and its contract from the same training run",
                )

    def watch(self, env: "BatchEnv") -> None:
        """Take pictures from this environment from now on."""
        self._env = env

    def reset(self, ids: np.ndarray) -> None:
        """See `Policy.reset`. A feed-forward network has no past."""

    def act(self, observation: np.ndarray) -> np.ndarray:
        """See `Policy.act`: (n, observation_size) -> (n, action_size) float32; for any n, if it takes no pictures.

        Raises:
            StageError: if it takes pictures, and where it acts there are none.
        """
        pictures = self._env.pictures if self._env and self.cameras else {}
        if not pictures.keys() >= set(self.cameras):
            raise StageError(f"this policy sees through {_listed(self.cameras)}, and nobody shows it any pictures")
        return self.answer(observation, pictures)

    def answer(self, observation: np.ndarray, pictures: Mapping[str, np.ndarray]) -> np.ndarray:
        """The same with these pictures, camera by camera (n, height, width, 3) uint8."""
        rows = np.ascontiguousarray(observation, dtype=np.float32)
        return self._session.run([OUTPUT], {INPUT: rows, **{name: pictures[name] for name in self.cameras}})[0]


def _session(source: Path | str | bytes, file: Path | None, threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.use_deterministic_compute = True
    options.log_severity_level = 4
    try:
        content = source if isinstance(source, bytes) else Path(source).read_bytes()
        _self_contained(content, file)
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cannot read the network ({error})", file=file, fix="train a policy first") from error
    except Exception as error:  # onnxruntime raises a class of its own for every kind of bad file
        reason = str(error).splitlines()[0]
        raise InputError(f"not a usable ONNX network: {reason}", file=file, fix="export it again") from error


def _self_contained(content: bytes, file: Path | None) -> None:
    """Refuse tensors that lie in other files. onnxruntime looks for them in the current directory.

    This reads the protocol buffer itself, because a robot has no onnx. ValueError says that it is none.
    """
    left = [("ModelProto", memoryview(content))]
    while left:
        kind, message = left.pop()
        for number, value in _fields(message):
            nested = NESTED[kind].get(number)
            if nested and isinstance(value, memoryview):
                left.append((nested, value))
            if kind == "TensorProto" and (number == EXTERNAL_DATA or (number == DATA_LOCATION and value != 0)):
                raise InputError(
                    "a tensor of the network lies in another file (external data)",
                    file=file,
                    fix="save it as a single file: onnx.save_model(onnx.load(path), path)",
                )


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of every field. ValueError at whatever another reader could understand differently."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, at = _varint(message, at)
        elif wire in (1, 2, 5):
            size, at = _varint(message, at) if wire == 2 else ({1: 8, 5: 4}[wire], at)
            value, at = message[at : at + size], at + size
        else:
            raise ValueError(f"a field of wire type {wire}")
        if at > len(message) or not 0 < number < 2**29:
            raise ValueError("not a protocol buffer")
        yield number, value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """The number that begins at `at`, and where it ends."""
    value = 0
    for i, byte in enumerate(message[at : at + 10]):
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            return value, at + i + 1
    raise ValueError("not a protocol buffer")


def _same_pictures(name: str, shape: list[Any], cameras: Mapping[str, CameraSpec], file: Path | None) -> None:
    if name not in cameras:
        has = f"has {_listed(cameras)}" if cameras else "has none"
        fix = "name the cell that the policy was trained for"
        raise InputError(
            f"the network sees through the camera '{name}'; what it is to act in {has}", file=file, fix=fix
        )
    width, height = cameras[name].resolution_px
    if len(shape) != 4 or shape[1:] != [height, width, 3] or isinstance(shape[0], int):
        raise InputError(
            f"the network takes pictures {shape} of the camera '{name}'; the cell's are [n, {height}, {width}, 3]",
            file=file,
            fix="give the camera the resolution that the policy was trained with, or train it again",
        )


def _listed(names: Iterable[str]) -> str:
    return " and ".join(f"'{name}'" for name in names)


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
