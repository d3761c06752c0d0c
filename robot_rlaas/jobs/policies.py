"""Anything that acts, by the name of a file, a directory or a Python object."""

import contextlib
import hashlib
import importlib
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import numpy as np
from pydantic import TypeAdapter, ValidationError

from robot_rlaas.cell.contract import Contract, Policy
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.files import sha256_file, sha256_tree

ALLOWED = (
    "a policy directory (policy.onnx, policy.json), a bundle, an .onnx file, a Stable-Baselines3 .zip, "
    "a LeRobot policy directory (config.json, model.safetensors), module:attribute, or the word 'expert'"
)
EXPERT = "expert"
PYTHON = re.compile(r"([^\W\d][\w.]*):([^\W\d]\w*)")


class Sequence(TypedDict, total=False):
    """See `sequence_json`. Without values where the data came without lineage."""

    seed: int | None
    space: str | None
    key: list[int] | None


class Provenance(TypedDict, total=False):
    """What is read of the provenance in policy.json or a bundle's manifest; there may be more."""

    sequences: list[Sequence] | None
    variation: dict[str, Any] | None


class Loaded(NamedTuple):
    """A policy and where it comes from.

    Attributes:
        policy: fresh.
        name: short, for tables.
        sha256: over everything that determines what it does, hexadecimal; empty where nothing does. A policy directory,
            the bundle made of it and its bare ONNX file are the same policy and have the same one.
        kind: "policy", "bundle", "onnx", "expert", "sb3", "lerobot" or "callable".
        provenance: what it learned from, if it says so: a `Provenance`, checked.
    """

    policy: Policy
    name: str
    sha256: str
    kind: str
    provenance: dict[str, Any] | None = None


def load(reference: str | Path, cell: CellSpec, rows: int) -> Loaded:
    """A fresh policy for this cell.

    Args:
        reference: one of
            - a policy directory, as 'rlaas train' leaves it;
            - a bundle, a directory or a .zip, whose bytes are verified;
            - an .onnx file, "observation" float32 (n, observation_size) to "action" float32 (n, action_size), beside
              the observation, under cameras' names, their pictures uint8 (n, height, width, 3);
            - a .zip that Stable-Baselines3 saved; nothing in it is unpickled;
            - a directory that LeRobot's save_pretrained wrote;
            - `expert`, the scripted one (a directory of that name is `./expert`);
            - `module:attribute`, Python that is imported and run, from the current directory too. The attribute is
              called with (contract, rows) and returns a `Policy`, or, for one without a past, a function of the
              observations (rows, observation_size) that returns the actions (rows, action_size).
        cell: its contract must be the policy's.
        rows: of every batch that the policy will see.

    Raises:
        InputError: if it is none of these, broken, or made for another contract.
    """
    from robot_rlaas.env.tasks import contract_of

    text, path, contract = str(reference), Path(reference), contract_of(cell)
    python = PYTHON.fullmatch(text)
    if text == EXPERT:
        return _expert(cell, contract, rows)
    if path.is_dir():
        return _directory(path, cell, contract, rows)
    if path.is_file():
        return _file(path, cell, contract)
    if python:
        return _python(python[1], python[2], contract, rows)
    raise _unknown("there is no such file or directory", path)


def _unknown(what: str, path: Path) -> InputError:
    return InputError(f"{what}; allowed is {ALLOWED}", file=path, fix="train a policy: 'rlaas train'")


def _expert(cell: CellSpec, contract: Contract, rows: int) -> Loaded:
    from robot_rlaas.env.tasks import expert_of

    policy = expert_of(cell, contract, rows)
    folder = Path(str(sys.modules[type(policy).__module__].__file__)).parent
    sources = [sha256_file(path) for path in sorted(folder.glob("*.py"))]  # the task, too: it says what is seen
    digest = hashlib.sha256("".join(sources).encode()).hexdigest()
    return Loaded(policy, EXPERT, digest, EXPERT)


def _directory(path: Path, cell: CellSpec, contract: Contract, rows: int) -> Loaded:
    name = path.resolve().name
    if (path / "manifest.json").is_file():
        return _bundle(path, contract)
    if (path / "policy.onnx").is_file():
        return _policy(path, name, cell, contract)
    if (path / "config.json").is_file():
        with _torch_needed():
            from robot_rlaas.learn.foreign_lerobot import load_lerobot
        return Loaded(load_lerobot(path, contract, rows), name, sha256_tree(path), "lerobot")
    raise _unknown("nothing that acts is in this directory", path)


def _bundle(path: Path, contract: Contract) -> Loaded:
    from robot_rlaas.bundle import OnnxPolicy, load_bundle

    bundle = load_bundle(path)
    policy = OnnxPolicy(bundle.network, contract)
    _same_contract(bundle.contract, contract, path / "contract.json")
    digest = hashlib.sha256(bundle.network).hexdigest()
    told = _provenance(bundle.manifest, path / "manifest.json")
    return Loaded(policy, path.resolve().name, digest, "bundle", told)


def _policy(path: Path, name: str, cell: CellSpec, contract: Contract) -> Loaded:
    from robot_rlaas.bundle import OnnxPolicy

    network, file = path / "policy.onnx", path / "policy.json"
    policy = OnnxPolicy(network, contract, cameras=cell.cameras)
    try:
        description = json.loads(file.read_text())
        made_for = Contract.from_json(description["contract"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"not the description of a policy ({error})", file=file, fix=f"name the network alone: {network}"
        ) from error
    _same_contract(made_for, contract, file)
    return Loaded(policy, name, sha256_file(network), "policy", _provenance(description, file))


def _same_contract(made_for: Contract, contract: Contract, file: Path) -> None:
    different = [k for k, own, wanted in zip(Contract._fields, made_for, contract) if own != wanted]
    if different:
        raise InputError(
            f"the policy was made for another contract than this cell's: {' and '.join(different)} differ",
            file=file,
            fix="name the cell that it was trained for",
        )


def _provenance(content: dict[str, Any], file: Path) -> dict[str, Any] | None:
    told = content.get("provenance")
    if told is None:
        return None
    try:
        TypeAdapter(Provenance).validate_python(told, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in ("provenance", *first["loc"]))
        raise InputError(f"'{where}': {first['msg']}", file=file, fix="train the policy again") from error
    return told


def _file(path: Path, cell: CellSpec, contract: Contract) -> Loaded:
    if path.suffix == ".onnx":
        from robot_rlaas.bundle import OnnxPolicy

        return Loaded(OnnxPolicy(path, contract, cameras=cell.cameras), path.name, sha256_file(path), "onnx")
    if path.suffix == ".zip":
        from robot_rlaas.bundle.contents import is_bundle

        if is_bundle(path):
            return _bundle(path, contract)
        with _torch_needed():
            from robot_rlaas.learn.foreign_sb3 import load_sb3
        return Loaded(load_sb3(path, contract), path.name, sha256_file(path), "sb3")
    raise _unknown("this file is nothing that acts", path)


@contextlib.contextmanager
def _torch_needed() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise InputError(
            f"this kind of policy needs torch ({error})", fix="pip install 'robot_rlaas[train]', or export it as ONNX"
        ) from error


def _python(module: str, attribute: str, contract: Contract, rows: int) -> Loaded:
    reference, here = f"{module}:{attribute}", os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)  # as 'python -m' does
    try:
        made = getattr(importlib.import_module(module), attribute)(contract, rows)
    except Exception as error:  # it is somebody's code
        raise InputError(
            f"'{reference}' cannot be made: {type(error).__name__}: {error}",
            fix=f"the attribute is called with (contract, rows); otherwise, allowed is {ALLOWED}",
        ) from error
    return Loaded(_Python(reference, made, contract.action_size), reference, "", "callable")


class _Python:
    """Somebody's Python as a `Policy`; what it returns is checked."""

    def __init__(self, name: str, made: Any, action_size: int) -> None:
        self._name, self._action_size = name, action_size
        self._act, self._reset = getattr(made, "act", made), getattr(made, "reset", None)
        is_policy = hasattr(made, "act") and callable(self._reset)
        is_function = not hasattr(made, "act") and callable(made)
        if not (callable(self._act) and (is_policy or is_function)):
            raise InputError(
                f"'{name}' returned {type(made).__name__}; allowed is an object with act and reset, or a function",
                fix="see robot_rlaas.cell.contract.Policy",
            )

    def reset(self, ids: np.ndarray) -> None:
        """See `Policy.reset`."""
        if self._reset is not None:
            with self._blamed("reset"):
                self._reset(ids)

    def act(self, observation: np.ndarray) -> np.ndarray:
        """See `Policy.act`: (n, observation_size) -> (n, action_size) float32."""
        wanted = (len(observation), self._action_size)
        with self._blamed("act"):
            action = np.asarray(self._act(observation), dtype=np.float32)
        if action.shape != wanted:
            raise InputError(f"'{self._name}' returned actions of shape {action.shape}, not {wanted}")
        return action

    @contextlib.contextmanager
    def _blamed(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # it is somebody's code
            raise InputError(f"'{self._name}' cannot {what}: {type(error).__name__}: {error}") from error
