"""Put a policy, its cell, its limits and its report into one directory or .zip, and sign it."""

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from robot_rlaas.bundle.contents import DOMAIN, MANIFEST, NETWORK, REPORT, SEAL, SIGNATURE, write_contents
from robot_rlaas.bundle.domain import Domain
from robot_rlaas.bundle.keys import PrivateKey
from robot_rlaas.bundle.load import FORMAT, seal_of, sha256
from robot_rlaas.bundle.network import OnnxPolicy
from robot_rlaas.bundle.parity import ALLOWED, PARITY, check_parity
from robot_rlaas.bundle.signature import sign
from robot_rlaas.cell.contract import Contract
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.kinds import deployable
from robot_rlaas.cell.spec import CellSpec

LICENSE = "SPDX-License-Identifier: Apache-2.0\n"
MAY_DIFFER = {"calibration", "contact", "variation", "held_out", "description"}  # between training and deployment


def build_bundle(
    policy_dir: Path, report: Path | None, out: Path, other: CellSpec | None = None, key: PrivateKey | None = None
) -> Path:
    """Build the bundle `out`, a .zip if its name says so, else a directory.

    Args:
        policy_dir: holds policy.onnx and policy.json, and parity.npz, as training leaves them.
        report: the qualification report of this very policy, or None. A domain.json beside it comes along.
        out: the bundle to write. An older bundle there is replaced; anything else is refused.
        other: the cell that it is to run in, if that is not the one it was trained in: the same but for its calibration
            and its ranges.
        key: signs it; None leaves it unsigned.

    Returns:
        `out`.

    Raises:
        InputError: if a file is missing or the parts are not of the same cell and policy, or the network does not do
            what the trained one did. Nothing is written then.
    """
    policy_dir, out = Path(policy_dir), Path(out)
    description = _json(policy_dir / "policy.json", "train a policy first: 'rlaas train'")
    cell, contract = _cell_and_contract(policy_dir / "policy.json", description)
    if other is not None:
        cell = _same_task(other, cell, policy_dir / "policy.json")
    network = _read(policy_dir / "policy.onnx", "train a policy first: 'rlaas train'")
    policy = OnnxPolicy(policy_dir / "policy.onnx", contract)
    judged = _judged(Path(report), cell, sha256(network)) if report is not None else {}
    sources = {"policy.onnx": network, "policy.json": _read(policy_dir / "policy.json"), **judged}
    files = {NETWORK: network, "LICENSE.txt": LICENSE.encode(), **_knowledge(cell, contract), **judged}
    manifest = {
        "format": FORMAT,
        "name": f"{cell.name}-{sha256(network)[:8]}",
        "cell": cell.name,
        "cell_hash": cell.hash,
        "contract_hash": contract.hash,
        "seed": description.get("seed"),
        "provenance": description.get("provenance"),
        "parity": _parity(policy_dir / PARITY, policy),
        "versions": _versions(),
        "sources": {name: sha256(content) for name, content in sources.items()},
        "files": {name: sha256(content) for name, content in sorted(files.items())},
    }
    files[MANIFEST] = _text(manifest)
    files[SEAL] = seal_of(files[MANIFEST]).encode()
    if key is not None:
        files[SIGNATURE] = sign(files, manifest["name"], key)
    write_contents(out, files)
    return out


def _parity(file: Path, policy: OnnxPolicy) -> dict[str, Any] | None:
    """None for a network that torch never had, or one that an older version trained."""
    return {**check_parity(file, policy)._asdict(), "allowed": ALLOWED} if file.exists() else None


def _cell_and_contract(file: Path, description: dict[str, Any]) -> tuple[CellSpec, Contract]:
    again = "train the policy again with this version"
    try:
        cell = CellSpec.model_validate(description["cell"])
        contract = Contract.from_json(description["contract"])
        claimed = description["cell_hash"]
    except (KeyError, ValidationError, InputError) as error:
        raise InputError(f"not the description of a policy: {error}", file=file, fix=again) from error
    if claimed != cell.hash:
        raise InputError(f"cell_hash {claimed!r} is not that of the cell in it, {cell.hash}", file=file, fix=again)
    deployable(cell)
    return cell, contract


def not_the_same(one: CellSpec, other: CellSpec) -> list[str]:
    """The sections in which two cells must agree for one's policy to be bundled for the other, and do not."""
    contents = [cell.model_dump(exclude=MAY_DIFFER) for cell in (one, other)]
    keys = dict.fromkeys([*contents[0], *contents[1]])
    return [key for key in keys if contents[0].get(key) != contents[1].get(key)]


def _same_task(other: CellSpec, trained: CellSpec, file: Path) -> CellSpec:
    different = not_the_same(other, trained)
    if different:
        message = f"the policy was trained in a cell with another {', '.join(different)}"
        raise InputError(message, file=file, fix="train a policy for this cell")
    return other


def _knowledge(cell: CellSpec, contract: Contract) -> dict[str, bytes]:
    """What the robot must know of the cell, so that it needs no simulator."""
    from robot_rlaas.sim.capsules import capsules_of
    from robot_rlaas.sim.model import build

    workcell = build(cell)
    return {
        "contract.json": _text(contract.to_json()),
        "cell.json": _text(cell.model_dump(mode="json")),
        "kinematics.json": _text(workcell.chain.to_json()),
        "envelope.json": _text(workcell.envelope.to_json()),
        "capsules.json": _text(capsules_of(cell, workcell).to_json()),
    }


def _judged(report: Path, cell: CellSpec, network_hash: str) -> dict[str, bytes]:
    """The report and what it was made from: the operating domain, where that lies beside it."""
    content = _json(report, "qualify the policy first: 'rlaas qualify'")
    policy = content.get("policy")
    told = content.get("cell_hash"), policy.get("sha256") if isinstance(policy, dict) else None
    _same(report, told, cell, network_hash)
    if content.get("kind") != "qualification":
        raise InputError(
            "this report is of a trial, which proves nothing", file=report, fix="see 'fresh' in it for why"
        )
    files, beside = {REPORT: _read(report)}, report.with_name(DOMAIN)
    if beside.is_file():
        seen = Domain.from_json(_json(beside, "qualify the policy again"))
        _same(beside, (seen.cell_hash, seen.policy_sha256), cell, network_hash)
        files[DOMAIN] = _read(beside)
    return files


def _same(file: Path, told: tuple[Any, Any], cell: CellSpec, network_hash: str) -> None:
    """Raise an InputError unless the file is about this cell and this network."""
    for what, found, expected in zip(("cell", "policy"), told, (cell.hash, network_hash)):
        if found != expected:
            raise InputError(
                f"this {file.stem} is of another {what}: its hash is {found!r}, not {expected}",
                file=file,
                fix="qualify this policy: 'rlaas qualify'",
            )


def _versions() -> dict[str, str]:
    python = ".".join(str(part) for part in sys.version_info[:3])
    return {"python": python} | {name: version(name) for name in ("robot_rlaas", "mujoco", "numpy", "onnxruntime")}


def _text(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()


def _read(file: Path, fix: str = "") -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the file ({error.strerror})", file=file, fix=fix) from error


def _json(file: Path, fix: str) -> dict[str, Any]:
    try:
        content = json.loads(_read(file, fix))
    except ValueError as error:
        raise InputError(f"not valid JSON: {error}", file=file, fix=fix) from error
    if not isinstance(content, dict):
        raise InputError("expected a JSON object", file=file, fix=fix)
    return content
