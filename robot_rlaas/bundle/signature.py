"""Signatures of bundles in the format of OpenSSF model-signing 1.x, signed and checked with a plain key, offline.

model.sig is a Sigstore bundle that holds a DSSE envelope around an in-toto statement, which lists the SHA-256 of every
file. `model_signing verify key BUNDLE --signature BUNDLE/model.sig --public_key KEY` says the same as `check` here, and
`check` takes what `model_signing sign key` and `sign pkcs11-key` write. That package itself is not used: it brings 34
others onto the robot's computer and takes seconds to import. See docs/deployment.md.

Formats: github.com/ossf/model-signing-spec, github.com/secure-systems-lab/dsse, github.com/in-toto/attestation.
"""

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from robot_rlaas.bundle.contents import REBUILD, SIGNATURE
from robot_rlaas.bundle.keys import PrivateKey, PublicKey
from robot_rlaas.cell.errors import InputError

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://model_signing/signature/v1.0"
HINT = re.compile("[0-9a-f]{64}")


class Claim(NamedTuple):
    """What model.sig says before anything was checked.

    Attributes:
        signer: fingerprint of the key that is to have signed.
        payload: the statement that was signed.
        signature: over it.
    """

    signer: str
    payload: bytes
    signature: bytes


def sign(contents: dict[str, bytes], name: str, key: PrivateKey) -> bytes:
    """The content of model.sig over all files.

    Args:
        contents: every file of the bundle but model.sig.
        name: what the bundle is called.
        key: whose signature it is.
    """
    payload = json.dumps(statement(contents, name), indent=2).encode()
    return _text(Claim(key.public.fingerprint, payload, key.sign(_envelope(payload))))


def read_claim(contents: dict[str, bytes], path: Path) -> Claim | None:
    """What the bundle's model.sig says, None without one.

    Raises:
        InputError: if it is not written as model-signing writes it, to the byte: nothing else may hide in it.
    """
    content = contents.get(SIGNATURE)
    if content is None:
        return None
    try:
        told = json.loads(content)
        envelope = told["dsseEnvelope"]
        sealed = base64.b64decode(envelope["payload"]), base64.b64decode(envelope["signatures"][0]["sig"])
        claim = Claim(told["verificationMaterial"]["publicKey"]["hint"], *sealed)
        if not HINT.fullmatch(claim.signer) or _text(claim) != content:
            raise ValueError("other fields, or another notation")
    except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
        raise InputError(
            f"not a signature of OpenSSF model-signing: {type(error).__name__} {error}",
            file=path / SIGNATURE,
            fix=REBUILD,
        ) from error
    return claim


def check(contents: dict[str, bytes], path: Path, claim: Claim, key: PublicKey) -> None:
    """Raise an InputError unless this key signed this claim, and the claim is of these very files."""
    if not key.verifies(claim.signature, _envelope(claim.payload)):
        raise InputError(
            f"the signature is not one of {key}: it or the list of files was changed after it was signed",
            file=path / SIGNATURE,
            fix=REBUILD,
        )
    _agree(contents, path, claim.payload)


def statement(contents: dict[str, bytes], name: str) -> dict[str, Any]:
    """The in-toto statement over all files but model.sig."""
    digests = {file: hashlib.sha256(content) for file, content in sorted(contents.items()) if file != SIGNATURE}
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": _root([d.hexdigest() for d in digests.values()])}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": [SIGNATURE],
            },
            "resources": [{"digest": d.hexdigest(), "algorithm": "sha256", "name": n} for n, d in digests.items()],
        },
    }


def _agree(contents: dict[str, bytes], path: Path, payload: bytes) -> None:
    """The signed list must be of the files that are here: the same names, the same bytes."""
    try:
        told = json.loads(payload)
        kinds = told["_type"], told["predicateType"], told["predicate"]["serialization"]["method"]
        listed = [(str(r["name"]), r["algorithm"], r["digest"]) for r in told["predicate"]["resources"]]
        digests = {name: digest for name, _, digest in listed}
        root = told["subject"][0]["digest"]["sha256"]
        whole = len(digests) == len(listed) and root == _root([digest for _, _, digest in listed])
    except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
        raise InputError(f"what was signed is no list of files: {error}", file=path / SIGNATURE, fix=REBUILD) from error
    sound = whole and {kind for _, kind, _ in listed} == {"sha256"}
    if kinds != (STATEMENT_TYPE, PREDICATE_TYPE, "files") or not sound:
        raise InputError("what was signed is no list of files by SHA-256", file=path / SIGNATURE, fix=REBUILD)
    here = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items() if name != SIGNATURE}
    for message, names in (
        ("a file that was signed is missing", digests.keys() - here.keys()),
        ("a file that was not signed", here.keys() - digests.keys()),
        ("the file was changed after it was signed", {name for name in here if here[name] != digests.get(name)}),
    ):
        if names:
            raise InputError(message, file=path / min(names), fix=REBUILD)


def _root(digests: list[str]) -> str:
    """SHA-256 over the files' SHA-256, in the order of the list."""
    return hashlib.sha256(b"".join(bytes.fromhex(digest) for digest in digests)).hexdigest()


def _envelope(payload: bytes) -> bytes:
    """The bytes that are signed: DSSE's pre-authentication encoding, so that a statement is taken for nothing else."""
    return f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(payload)} ".encode() + payload


def _text(claim: Claim) -> bytes:
    """model.sig of a claim, byte for byte as the stock tool writes it."""
    payload, signature = (base64.b64encode(part).decode() for part in (claim.payload, claim.signature))
    content = {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": claim.signer}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": payload,
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": signature, "keyid": ""}],
        },
    }
    return json.dumps(content, separators=(",", ":")).encode()
