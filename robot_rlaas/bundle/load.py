"""Read a bundle and trust nothing in it until signature and hashes agree. Nothing is unpickled."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from robot_rlaas.bundle.contents import (
    DOMAIN,
    MANIFEST,
    NETWORK,
    OPTIONAL,
    REBUILD,
    REPORT,
    REQUIRED,
    SEAL,
    SIGNATURE,
    read_contents,
)
from robot_rlaas.bundle.domain import Domain
from robot_rlaas.bundle.network import OnnxPolicy
from robot_rlaas.bundle.trust import Origin, Trust, origin_of
from robot_rlaas.cell.contract import Contract
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.capsules import Capsules
from robot_rlaas.control.kinematics import SerialChain
from robot_rlaas.control.safety import Envelope

FORMAT = 2


@dataclass(frozen=True)
class Bundle:
    """A verified bundle.

    Attributes:
        path: its directory or .zip.
        manifest: what it was built from, with which versions.
        contract: what the network sees and does.
        cell: the cell it was trained for.
        chain: kinematics up to the tool point.
        envelope: limits of the safety filter.
        capsules: the arm's shape.
        report: the qualification report, if it was built with one.
        domain: what it saw while it was qualified, if it was built with that.
        sha256: of the manifest, which holds the hash of every other file: one number for the whole bundle.
        origin: who vouches for it.
        network: the verified bytes of the ONNX network.
    """

    path: Path
    manifest: dict[str, Any]
    contract: Contract
    cell: CellSpec
    chain: SerialChain
    envelope: Envelope
    capsules: Capsules
    report: dict[str, Any] | None
    domain: Domain | None
    sha256: str
    origin: Origin
    network: bytes = field(repr=False)

    def policy(self) -> OnnxPolicy:
        """The network, ready to act."""
        return OnnxPolicy(self.network, self.contract)


def sha256(content: bytes) -> str:
    """SHA-256 as hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def load_bundle(path: Path | str, trust: Trust | None = None) -> Bundle:
    """Verify and read the bundle at `path`, a directory or a .zip.

    Args:
        path: where it is.
        trust: whose bundles may drive an arm. Without it the bytes are verified, not where they come from: what is
            loaded so drives no arm.

    Raises:
        InputError: naming the file that is missing, changed or unknown, or what does not fit together; with `trust`,
            also if nobody who is trusted vouches for it.
    """
    path = Path(path)
    contents = read_contents(path)
    origin = origin_of(contents, path, trust)
    manifest = _verified(path, contents)
    if manifest.get("format") != FORMAT:
        raise InputError(
            f"bundle format {manifest.get('format')!r}; this version reads {FORMAT}",
            file=path / MANIFEST,
            fix="install the robot_rlaas version that the manifest names, or build the bundle again with this one",
        )
    try:
        bundle = _parse(path, manifest, contents, origin)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, ValidationError) as error:
        raise InputError(f"not the content of a bundle: {error}", file=path, fix=REBUILD) from error
    _agree(bundle)
    return bundle


def _verified(path: Path, contents: dict[str, bytes]) -> dict[str, Any]:
    """The manifest, once all hashes agree with it."""
    seal = _part(path, contents, SEAL).decode("ascii", errors="replace")
    content = _part(path, contents, MANIFEST)
    if seal != seal_of(content):
        raise InputError(f"the hash of {MANIFEST} is not the one in {SEAL}", file=path / MANIFEST, fix=REBUILD)
    try:
        manifest = json.loads(content)
        hashes = {str(name): str(digest) for name, digest in manifest["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"not a manifest: {error}", file=path / MANIFEST, fix=REBUILD) from error
    missing = sorted(set(REQUIRED) - set(hashes))
    if missing:
        raise InputError(f"the manifest lacks {', '.join(missing)}", file=path / MANIFEST, fix=REBUILD)
    strange = sorted(set(contents) - {SEAL, MANIFEST, SIGNATURE, *hashes})
    if strange:
        raise InputError(
            "a file that the manifest does not know", file=path / strange[0], fix=f"remove it, or {REBUILD}"
        )
    for name, expected in hashes.items():
        if name not in REQUIRED + OPTIONAL:
            raise InputError(f"the manifest names an unknown file '{name}'", file=path / MANIFEST, fix=REBUILD)
        if sha256(_part(path, contents, name)) != expected:
            raise InputError("the file was changed after the bundle was built", file=path / name, fix=REBUILD)
    return manifest


def seal_of(manifest: bytes) -> str:
    """The seal's content: what `sha256sum -c` reads."""
    return f"{sha256(manifest)}  {MANIFEST}\n"


def _part(path: Path, contents: dict[str, bytes], name: str) -> bytes:
    if name not in contents:
        raise InputError("this part of the bundle is missing", file=path / name, fix=REBUILD)
    return contents[name]


def _parse(path: Path, manifest: dict[str, Any], contents: dict[str, bytes], origin: Origin) -> Bundle:
    report, domain = contents.get(REPORT), contents.get(DOMAIN)
    return Bundle(
        path=path,
        manifest=manifest,
        contract=Contract.from_json(json.loads(contents["contract.json"])),
        cell=CellSpec.model_validate_json(contents["cell.json"]),
        chain=SerialChain.from_json(json.loads(contents["kinematics.json"])),
        envelope=Envelope.from_json(json.loads(contents["envelope.json"])),
        capsules=Capsules.from_json(json.loads(contents["capsules.json"])),
        report=json.loads(report) if report else None,
        domain=Domain.from_json(json.loads(domain)) if domain else None,
        sha256=sha256(contents[MANIFEST]),
        origin=origin,
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
    if bundle.domain is not None and bundle.domain.size != bundle.contract.observation_size:
        raise InputError(
            f"it is about {bundle.domain.size} numbers; the network sees {bundle.contract.observation_size}",
            file=path / DOMAIN,
            fix=REBUILD,
        )
    OnnxPolicy(bundle.network, bundle.contract)
