"""Keys that bundles are signed with: elliptic curves, PEM files, as OpenSSF model-signing and OpenSSL have them.

The library is imported where it is used: whoever only looks at a bundle must not pay for it.
"""

import hashlib
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from robot_rlaas.cell.errors import InputError
from robot_rlaas.files import write_atomic

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey, EllipticCurvePublicKey

PRIVATE, PUBLIC = ".key", ".pub"
NAME = re.compile(r"[\w][\w.-]{0,63}")
SHORT = 12  # digits of a fingerprint that people are shown
CURVES = {"secp256r1": 256, "secp384r1": 384, "secp521r1": 512}  # and the bits of the hash that goes with each
MOST_BYTES = 64 * 1024


class PublicKey(NamedTuple):
    """Whose signature can be checked.

    Attributes:
        key: the curve's point.
        name: the file's name without its ending.
        fingerprint: SHA-256 over its PEM form, hexadecimal: what a signature names it by.
    """

    key: "EllipticCurvePublicKey"
    name: str
    fingerprint: str

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether the private key of this one signed the message."""
        from cryptography.exceptions import InvalidSignature

        try:
            self.key.verify(signature, message, _scheme(self.key))
        except InvalidSignature:
            return False
        return True

    def __str__(self) -> str:
        return f"{self.name} ({self.fingerprint[:SHORT]})"


class PrivateKey(NamedTuple):
    """What signs. It is never shown: neither in a log nor in an error."""

    key: "EllipticCurvePrivateKey"
    public: PublicKey

    def sign(self, message: bytes) -> bytes:
        """The message's signature, DER."""
        return self.key.sign(message, _scheme(self.key))

    def __repr__(self) -> str:
        return f"PrivateKey({self.public})"


class Pair(NamedTuple):
    """Where a key pair lies."""

    private: Path
    public: Path


def pair_in(folder: Path, name: str) -> Pair:
    """The files of a key pair of this name, there or not.

    Raises:
        InputError: if it is no name for a file.
    """
    if not NAME.fullmatch(name):
        raise InputError(f"'{name}' is no name for a key; allowed are letters, digits, '_', '-' and '.'")
    return Pair(folder / f"{name}{PRIVATE}", folder / f"{name}{PUBLIC}")


def make_pair(folder: Path, name: str, passphrase: str = "") -> Pair:
    """Make a P-256 key pair. The private file is its owner's alone, from its first byte on.

    Args:
        folder: gets NAME.key and NAME.pub.
        name: of the files.
        passphrase: encrypts the private key; empty leaves it as it is.

    Raises:
        InputError: if one of the files exists, or cannot be written.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    pair = pair_in(folder, name)
    key = ec.generate_private_key(ec.SECP256R1())
    lock = serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
    write_secret(pair.private, private, pair.public)
    write_atomic(pair.public, _pem(key.public_key()))
    return pair


def write_secret(file: Path, content: bytes, beside: Path) -> None:
    """Write a file that only its owner may read.

    Raises:
        InputError: if it, or the file that goes with it, exists, or it cannot be written.
    """
    for one in (file, beside):
        if one.exists():
            raise InputError("there is a key already: it is not overwritten", file=one, fix="name another")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(handle, "wb") as opened:
            opened.write(content)
    except OSError as error:
        raise InputError(f"cannot write the key ({error.strerror})", file=file, fix="name another folder") from error


def read_private(file: Path, ask: Callable[[], str]) -> PrivateKey:
    """A private key from its PEM file.

    Args:
        file: as `make_pair` leaves it, or OpenSSL.
        ask: returns the passphrase; called only where there is one.

    Raises:
        InputError: if it is no such key, others may read it, or the passphrase is wrong.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    content = _read(file)
    refuse_readable(file)
    passphrase = ask().encode() if b"ENCRYPTED" in content else None
    try:
        key = serialization.load_pem_private_key(content, passphrase)
    except (ValueError, TypeError) as error:
        wrong = "the passphrase is wrong" if passphrase is not None else "not a private key in a PEM file"
        raise InputError(wrong, file=file, fix="make one with 'rlaas keys new'") from error
    if not isinstance(key, EllipticCurvePrivateKey):
        raise _of_another_kind(type(key).__name__, file)
    return PrivateKey(key, _public(key.public_key(), file))


def refuse_readable(file: Path) -> None:
    """Raise an InputError if others than its owner may read or change a secret."""
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o077:
        raise InputError(f"others may read this private key (mode {mode:04o})", file=file, fix=f"chmod 600 {file}")


def read_public(file: Path) -> PublicKey:
    """A public key from its PEM file.

    Raises:
        InputError: if it is none.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

    content = _read(file)
    if b"PRIVATE KEY" in content:
        raise InputError("this is a private key", file=file, fix=f"name the public one, such as {file.stem}{PUBLIC}")
    try:
        key = serialization.load_pem_public_key(content)
    except (ValueError, TypeError) as error:
        raise InputError("not a public key in a PEM file", file=file, fix="name a .pub file") from error
    if not isinstance(key, EllipticCurvePublicKey):
        raise _of_another_kind(type(key).__name__, file)
    return _public(key, file)


def _public(key: "EllipticCurvePublicKey", file: Path) -> PublicKey:
    if key.curve.name not in CURVES:
        raise _of_another_kind(key.curve.name, file)
    return PublicKey(key, file.stem, hashlib.sha256(_pem(key)).hexdigest())


def _of_another_kind(kind: str, file: Path) -> InputError:
    return InputError(f"a key of kind {kind}; allowed are {', '.join(CURVES)}", file=file, fix="'rlaas keys new'")


def _pem(key: "EllipticCurvePublicKey") -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _scheme(key: "EllipticCurvePrivateKey | EllipticCurvePublicKey") -> "ECDSA":
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.ECDSA({256: hashes.SHA256, 384: hashes.SHA384, 512: hashes.SHA512}[CURVES[key.curve.name]]())


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(MOST_BYTES)
    except OSError as error:
        raise InputError(f"cannot read the key ({error.strerror})", file=file) from error
