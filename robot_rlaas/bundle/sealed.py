"""Sealed bundles: a .zip that only its recipients can read, by age (age-encryption.org/v1) in the library pyrage.

Sealing keeps a bundle secret on its way. It says nothing of where it comes from: that is what the signature inside is
for, which is checked when the bundle is used.
"""

from pathlib import Path
from types import ModuleType
from typing import Any

from robot_rlaas.bundle.contents import MOST_BYTES, contents_of_zip, read_contents, write_contents, zipped
from robot_rlaas.bundle.keys import refuse_readable, write_secret
from robot_rlaas.bundle.load import load_bundle
from robot_rlaas.bundle.trust import OWN, keys_dir
from robot_rlaas.cell.errors import InputError
from robot_rlaas.files import write_atomic

IDENTITY, RECIPIENT = ".age", ".age.pub"


def make_identity(folder: Path, name: str) -> tuple[Path, str]:
    """Make an age identity: NAME.age, its owner's alone, and NAME.age.pub -> the first one's path, and who that is.

    Raises:
        InputError: if one of the files exists, or cannot be written, or the library is missing.
    """
    identity = _library().x25519.Identity.generate()
    private, public, recipient = folder / f"{name}{IDENTITY}", folder / f"{name}{RECIPIENT}", str(identity.to_public())
    write_secret(private, f"# public key: {recipient}\n{identity}\n".encode(), public)
    write_atomic(public, f"{recipient}\n")
    return private, recipient


def own_identity() -> Path:
    """Where a person's own identity is."""
    return keys_dir() / f"{OWN}{IDENTITY}"


def seal(bundle: Path, recipients: list[str], out: Path) -> None:
    """Encrypt a bundle into the file `out`.

    Args:
        bundle: a directory or a .zip, which is verified.
        recipients: age1..., public keys of ssh, or files of those, one a line.
        out: the file to write.

    Raises:
        InputError: if the bundle is changed, or a recipient is none, or the library is missing.
    """
    age = _library()
    keys = [_recipient(age, text) for given in recipients for text in _lines(given)]
    load_bundle(bundle)
    write_atomic(out, age.encrypt(zipped(read_contents(bundle)), keys))


def unseal(sealed: Path, identity: Path, out: Path) -> None:
    """Decrypt a sealed bundle and write it to `out`, a .zip if its name says so, else a directory.

    Raises:
        InputError: if this identity cannot open it, or what is in it is no bundle. Nothing is written then.
    """
    age = _library()
    key = _identity(age, identity)
    try:
        with sealed.open("rb") as opened:
            content = opened.read(2 * MOST_BYTES)
        packed = age.decrypt(content, [key])
    except OSError as error:
        raise InputError(f"cannot read the sealed bundle ({error.strerror})", file=sealed) from error
    except age.DecryptError as error:
        fix = f"it is not sealed for {identity}, or it was changed: have it sealed again, for its .pub"
        raise InputError(f"cannot be opened: {error}", file=sealed, fix=fix) from error
    write_contents(out, contents_of_zip(sealed, packed))


def _library() -> ModuleType:
    try:
        import pyrage
    except ImportError as error:
        fix = "pip install 'robot_rlaas[seal]'"
        raise InputError(f"sealed bundles need the library pyrage ({error})", fix=fix) from error
    return pyrage


def _lines(given: str) -> list[str]:
    """The recipients that an option names: itself, or those in a file."""
    if given.startswith(("age1", "ssh-")):
        return [given]
    try:
        lines = [line.strip() for line in Path(given).read_text().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        what = "neither age1..., nor a public key of ssh, nor a file of them"
        raise InputError(f"'{given}': {what} ({error})", fix="'rlaas keys new --encryption' makes one") from error
    return [line for line in lines if line and not line.startswith("#")]


def _recipient(age: ModuleType, text: str) -> Any:
    kind = age.ssh if text.startswith("ssh-") else age.x25519
    try:
        return kind.Recipient.from_str(text)
    except age.RecipientError as error:
        raise InputError(f"'{text[:20]}...' is no recipient: {error}", fix="ask them for it again") from error


def _identity(age: ModuleType, file: Path) -> Any:
    try:
        content = file.read_bytes()
    except OSError as error:
        fix = "name one, or make your own: 'rlaas keys new --encryption'"
        raise InputError(f"cannot read the identity ({error.strerror})", file=file, fix=fix) from error
    refuse_readable(file)
    lines = [line for line in content.decode(errors="replace").split() if line.startswith("AGE-SECRET-KEY-")]
    try:
        return age.x25519.Identity.from_str(lines[0]) if lines else age.ssh.Identity.from_buffer(content)
    except age.IdentityError as error:
        kinds = "an age identity, or a private key of ssh without a passphrase"
        raise InputError(f"not {kinds} ({error})", file=file) from error
