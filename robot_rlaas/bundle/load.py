"""Read a bundle and trust nothing in it until every hash agrees. Nothing is unpickled."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from robot_rlaas.bundle.network import OnnxPolicy
from robot_rlaas.cell.contract import Contract
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.kinematics import SerialChain
from robot_rlaas.control.safety import Envelope

FORMAT = 1
SEAL = "bundle.sha256"
MANIFEST = "manifest.json"
NETWORK = "network.onnx"
REQUIRED = (NETWORK, "contract.json", "cell.json", "kinematics.json", "envelope.json", "LICENSE.txt")
OPTIONAL = ("report.json",)
REBUILD = "build the bundle again with 'rlaas bundle build', or fetch an unchanged copy"


@dataclass(frozen=True)
class Bundle:
    """A verified bundle.

    Attributes:
        path: its directory.
        manifest: what it was built from, with which versions.
        contract: what the network sees and does.
        cell: the cell it was trained for.
        chain: kinematics up to the tool point.
        envelope: limits of the safety filter.
        report: the qualification report, if it was built with one.
        sha256: of the manifest, which holds the hash of every other file: one number for the whole bundle.
        network: the verified bytes of the ONNX network.
    """

    path: Path
    manifest: dict[str, Any]
    contract: Contract
    cell: CellSpec
    chain: SerialChain
    envelope: Envelope
    report: dict[str, Any] | None
    sha256: str
    network: bytes = field(repr=False)

    def policy(self) -> OnnxPolicy:
        """The network, ready to act."""
        return OnnxPolicy(self.network, self.contract)


def sha256(content: bytes) -> str:
    """SHA-256 as hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def load_bundle(path: Path | str) -> Bundle:
    """Verify and read the bundle directory `path`.

    Raises:
        InputError: naming the file that is missing, changed or unknown, or what does not fit together.
    """
    path = Path(path)
    contents = _verified(path)
    manifest = json.loads(contents[MANIFEST])
    if manifest.get("format") != FORMAT:
        raise InputError(
            f"bundle format {manifest.get('format')!r}; this version reads {FORMAT}",
            file=path / MANIFEST,
            fix="install the robot_rlaas version that the manifest names",
        )
    try:
        bundle = _parse(path, manifest, contents)
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        raise InputError(f"not the content of a bundle: {error}", file=path, fix=REBUILD) from error
    _agree(bundle)
    return bundle


def _verified(path: Path) -> dict[str, bytes]:
    """Every file of the bundle by name, once all hashes agree."""
    if not path.is_dir():
        raise InputError("there is no such bundle directory", file=path, fix="build one with 'rlaas bundle build'")
    seal = _read(path, SEAL).decode("ascii", errors="replace").split()
    content = _read(path, MANIFEST)
    if seal != [sha256(content), MANIFEST]:
        raise InputError(f"the hash of {MANIFEST} is not the one in {SEAL}", file=path / MANIFEST, fix=REBUILD)
    hashes = json.loads(content).get("files", {})
    missing = sorted(set(REQUIRED) - set(hashes))
    if missing:
        raise InputError(f"the manifest lacks {', '.join(missing)}", file=path / MANIFEST, fix=REBUILD)
    strange = sorted({p.name for p in path.iterdir()} - {SEAL, MANIFEST, *hashes})
    if strange:
        raise InputError(
            "a file that the manifest does not know", file=path / strange[0], fix=f"remove it, or {REBUILD}"
        )
    contents = {MANIFEST: content}
    for name, expected in hashes.items():
        if name not in REQUIRED + OPTIONAL:
            raise InputError(f"the manifest names an unknown file '{name}'", file=path / MANIFEST, fix=REBUILD)
        contents[name] = _read(path, name)
        if sha256(contents[name]) != expected:
            raise InputError("the file was changed after the bundle was built", file=path / name, fix=REBUILD)
    return contents


def _read(path: Path, name: str) -> bytes:
    try:
        return (path / name).read_bytes()
    except OSError as error:
        raise InputError(f"cannot read this part of the bundle ({error})", file=path / name, fix=REBUILD) from error


def _parse(path: Path, manifest: dict[str, Any], contents: dict[str, bytes]) -> Bundle:
    report = contents.get("report.json")
    return Bundle(
        path=path,
        manifest=manifest,
        contract=Contract.from_json(json.loads(contents["contract.json"])),
        cell=CellSpec.model_validate_json(contents["cell.json"]),
        chain=SerialChain.from_json(json.loads(contents["kinematics.json"])),
        envelope=Envelope.from_json(json.loads(contents["envelope.json"])),
        report=json.loads(report) if report else None,
        sha256=sha256(contents[MANIFEST]),
        network=contents[NETWORK],
    )


def _agree(bundle: Bundle) -> None:
    """The parts must speak of the same cell, contract and arm."""
    manifest, path = bundle.manifest, bundle.path
    if manifest.get("cell_hash") != bundle.cell.hash:
        raise InputError("the manifest's cell hash is not that of the cell", file=path / "cell.json", fix=REBUILD)
    if manifest.get("contract_hash") != bundle.contract.hash:
        raise InputError("the manifest's contract hash is not the contract's", file=path / "contract.json", fix=REBUILD)
    if bundle.contract.rate_hz != bundle.cell.control.rate_hz:
        raise InputError(
            f"the contract's rate {bundle.contract.rate_hz} Hz is not the cell's {bundle.cell.control.rate_hz} Hz",
            file=path / "contract.json",
            fix=REBUILD,
        )
    if len(bundle.chain.joints) != len(bundle.envelope.lower_rad):
        raise InputError(
            f"{len(bundle.chain.joints)} joints, but limits for {len(bundle.envelope.lower_rad)}",
            file=path / "envelope.json",
            fix=REBUILD,
        )
    OnnxPolicy(bundle.network, bundle.contract)
