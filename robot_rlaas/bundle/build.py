"""Put a policy, its cell, its limits and its report into one directory."""

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from robot_rlaas.bundle.load import FORMAT, MANIFEST, NETWORK, SEAL, sha256
from robot_rlaas.bundle.network import OnnxPolicy
from robot_rlaas.cell.contract import Contract
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.kinds import insertion_only
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.files import staged_dir

LICENSE = "SPDX-License-Identifier: Apache-2.0\n"
MAY_DIFFER = {"calibration", "contact", "variation", "held_out", "description"}  # between training and deployment


def build_bundle(policy_dir: Path, report: Path | None, out: Path, other: CellSpec | None = None) -> Path:
    """Build the bundle directory `out`.

    Args:
        policy_dir: holds policy.onnx and policy.json, as training leaves them.
        report: the qualification report of this very policy, or None.
        out: the bundle to write. An older bundle there is replaced; anything else is refused.
        other: the cell that it is to run in, if that is not the one it was trained in: the same but for its calibration
            and its ranges.

    Returns:
        `out`.

    Raises:
        InputError: if a file is missing or the parts are not of the same cell and policy. Nothing is written then.
    """
    policy_dir, out = Path(policy_dir), Path(out)
    if out.exists() and not (out / SEAL).is_file():
        raise InputError("exists and is not a bundle: it is not overwritten", file=out, fix="name another directory")
    description = _json(policy_dir / "policy.json", "train a policy first: 'rlaas train'")
    cell, contract = _cell_and_contract(policy_dir / "policy.json", description)
    if other is not None:
        cell = _same_task(other, cell, policy_dir / "policy.json")
    network = _read(policy_dir / "policy.onnx", "train a policy first: 'rlaas train'")
    OnnxPolicy(policy_dir / "policy.onnx", contract)
    files = {NETWORK: network, "LICENSE.txt": LICENSE.encode(), **_knowledge(cell, contract)}
    sources = {"policy.onnx": sha256(network), "policy.json": sha256(_read(policy_dir / "policy.json"))}
    if report is not None:
        _same_policy(Path(report), cell, sha256(network))
        files["report.json"] = _read(Path(report))
        sources["report.json"] = sha256(files["report.json"])
    manifest = {
        "format": FORMAT,
        "name": f"{cell.name}-{sha256(network)[:8]}",
        "cell": cell.name,
        "cell_hash": cell.hash,
        "contract_hash": contract.hash,
        "seed": description.get("seed"),
        "provenance": description.get("provenance"),
        "versions": _versions(),
        "sources": sources,
        "files": {name: sha256(content) for name, content in sorted(files.items())},
    }
    files[MANIFEST] = _text(manifest)
    files[SEAL] = f"{sha256(files[MANIFEST])}  {MANIFEST}\n".encode()
    with staged_dir(out) as part:
        part.mkdir()
        for name, content in files.items():
            (part / name).write_bytes(content)
    return out


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
    insertion_only(cell)
    return cell, contract


def not_the_same(one: CellSpec, other: CellSpec) -> list[str]:
    """The sections in which two cells must agree for one's policy to be bundled for the other, and do not."""
    contents = [cell.model_dump(exclude=MAY_DIFFER) for cell in (one, other)]
    return [key for key in contents[0] if contents[0][key] != contents[1].get(key)]


def _same_task(other: CellSpec, trained: CellSpec, file: Path) -> CellSpec:
    different = not_the_same(other, trained)
    if different:
        message = f"the policy was trained in a cell with another {', '.join(different)}"
        raise InputError(message, file=file, fix="train a policy for this cell")
    return other


def _knowledge(cell: CellSpec, contract: Contract) -> dict[str, bytes]:
    """What the robot must know of the cell, so that it needs no simulator."""
    from robot_rlaas.sim.model import build

    workcell = build(cell)
    return {
        "contract.json": _text(contract.to_json()),
        "cell.json": _text(cell.model_dump(mode="json")),
        "kinematics.json": _text(workcell.chain.to_json()),
        "envelope.json": _text(workcell.envelope.to_json()),
    }


def _same_policy(report: Path, cell: CellSpec, network_hash: str) -> None:
    content = _json(report, "qualify the policy first: 'rlaas qualify'")
    policy = content.get("policy")
    found = {"cell": content.get("cell_hash"), "policy": policy.get("sha256") if isinstance(policy, dict) else None}
    for what, expected in (("cell", cell.hash), ("policy", network_hash)):
        if found[what] != expected:
            raise InputError(
                f"this report is of another {what}: its hash is {found[what]!r}, not {expected}",
                file=report,
                fix="qualify this policy: 'rlaas qualify'",
            )
    if content.get("kind") != "qualification":
        raise InputError(
            "this report is of a trial, which proves nothing", file=report, fix="see 'fresh' in it for why"
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
