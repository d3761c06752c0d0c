"""Whom a machine lets drive its arm: the keys it trusts, and what that makes of a bundle."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from robot_rlaas.bundle import signature
from robot_rlaas.bundle.keys import (
    PUBLIC,
    SHORT,
    PrivateKey,
    PublicKey,
    make_pair,
    pair_in,
    read_private,
    read_public,
)
from robot_rlaas.cell.errors import InputError
from robot_rlaas.files import write_atomic

OWN = "own"  # the name of the key that a person signs with where no other is named
ALLOWED = "--allow-unsigned"


class Trust(NamedTuple):
    """Whose bundles may drive an arm.

    Attributes:
        keys: those who signed with one of these.
        allow_unsigned: everybody else, too; that is shown wherever the bundle is.
    """

    keys: tuple[PublicKey, ...] = ()
    allow_unsigned: bool = False


class Origin(NamedTuple):
    """Who vouches for a bundle.

    Attributes:
        signer: fingerprint of the key that is to have signed it; empty for an unsigned one.
        name: of the trusted key, once its signature was found right; empty without.
        allowed: it was let in without.
    """

    signer: str = ""
    name: str = ""
    allowed: bool = False

    @property
    def accepted(self) -> bool:
        """Whether it may drive an arm here."""
        return bool(self.name) or self.allowed

    def __str__(self) -> str:
        if self.name:
            return f"signed by {self.name} ({self.signer[:SHORT]})"
        told = f"signed by an unknown key ({self.signer[:SHORT]}), UNTRUSTED" if self.signer else "UNSIGNED"
        return f"{told}, let in by {ALLOWED}" if self.allowed else told


def origin_of(contents: dict[str, bytes], path: Path, trust: Trust | None) -> Origin:
    """Who vouches for these files of a bundle at `path`. Without `trust`, what they say of it themselves.

    Raises:
        InputError: if the signature is broken, or nobody who is trusted signed and that is not allowed.
    """
    claim = signature.read_claim(contents, path)
    signer = claim.signer if claim else ""
    if trust is None:
        return Origin(signer)
    key = next((key for key in trust.keys if key.fingerprint == signer), None)
    if claim and key:
        signature.check(contents, path, claim, key)
        return Origin(signer, key.name)
    if trust.allow_unsigned:
        return Origin(signer, allowed=True)
    known = ", ".join(str(key) for key in trust.keys) or "none"
    if claim:
        message = f"signed by the key {signer[:SHORT]}, which is not trusted here; trusted: {known}"
        fix = "if you know whose key it is: 'rlaas keys trust THEIR.pub'"
    else:
        message, fix = "the bundle is not signed", "sign it: 'rlaas bundle build --key KEY'"
    raise InputError(message, file=path, fix=f"{fix}; or {ALLOWED}, which is shown everywhere")


def config_dir() -> Path:
    """The person's own settings: rlaas/ in $XDG_CONFIG_HOME, or in ~/.config."""
    named = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(named) if os.path.isabs(named) else Path.home() / ".config") / "rlaas"


def keys_dir() -> Path:
    """Where the person's own keys are."""
    return config_dir() / "keys"


def trusted_dir() -> Path:
    """Where the public keys are that this person trusts: one .pub file each."""
    return config_dir() / "trusted"


def trusted_keys() -> tuple[PublicKey, ...]:
    """The keys that this person trusts, by name."""
    return tuple(read_public(file) for file in sorted(trusted_dir().glob(f"*{PUBLIC}")))


def trust_key(file: Path, name: str = "") -> tuple[PublicKey, Path]:
    """Trust a public key from now on -> it, and where it is kept. Removing that file ends it.

    Args:
        file: the public key.
        name: what it is called here; by default, as its file.

    Raises:
        InputError: if it is no public key, or another key of that name is trusted already.
    """
    name = name or file.stem
    key, kept = read_public(file), pair_in(trusted_dir(), name).public
    if kept.exists() and read_public(kept).fingerprint != key.fingerprint:
        fix = "choose another --name, or remove that file if you trust the other no longer"
        raise InputError(f"another key is trusted under the name '{name}'", file=kept, fix=fix)
    try:
        write_atomic(kept, file.read_bytes())
    except OSError as error:
        raise InputError(f"cannot write ({error.strerror})", file=kept, fix="set XDG_CONFIG_HOME") from error
    return key, kept


def own_key(ask: Callable[[], str], say: Callable[[str], None]) -> PrivateKey:
    """The person's own key; at first need it is made and trusted on this machine, which is said.

    Raises:
        InputError: if it cannot be read or made.
    """
    pair = pair_in(keys_dir(), OWN)
    if not pair.private.is_file():
        make_pair(keys_dir(), OWN)
        trust_key(pair.public)
        say(f"a key to sign bundles with was made, and is trusted on this machine alone: {pair.private}")
    return read_private(pair.private, ask)
