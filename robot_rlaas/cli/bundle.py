"""`rlaas bundle ...` and `rlaas keys ...`: what goes to the robot, and who vouches for it."""

import argparse
import getpass
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cli.options import DONE, add_command, add_group, add_path, run_stage

if TYPE_CHECKING:
    from robot_rlaas.bundle import Bundle, Trust
    from robot_rlaas.bundle.keys import PrivateKey

PASSPHRASE = "RLAAS_KEY_PASSPHRASE"
OWN = "own"


def bundle_commands(commands) -> None:
    """Add both groups to the `rlaas` command."""
    group = add_group(commands, "bundle", "What goes to the robot.", "rlaas bundle verify runs/first/bundle")
    example = "rlaas bundle build --policy runs/first/policy --report runs/first/qualification/report.json --out bundle"
    build = add_command(group, "build", "Pack a policy with its contract, limits and report.", example, _build)
    add_path(build, "--policy", "a policy directory")
    add_path(build, "--report", "its qualification report", required=False)
    build.add_argument("--cell", help="the cell it is to run in, if not the one it was trained in")
    add_path(build, "--out", "the bundle to write: a directory, or one file if the name ends in .zip")
    signer = build.add_mutually_exclusive_group()
    add_path(signer, "--key", "the private key to sign with (default: your own, made at first need)", required=False)
    signer.add_argument("--unsigned", action="store_true", help="do not sign; no arm takes such a bundle unasked")
    text = "Check every byte, and whether somebody vouches for them who is trusted here."
    verify = add_command(group, "verify", text, "rlaas bundle verify runs/first/bundle", _verify)
    _add_bundle(verify)
    add_trust(verify)
    show = add_command(group, "show", "What is inside.", "rlaas bundle show runs/first/bundle", _show)
    _add_bundle(show)
    _sealing_commands(group)
    _key_commands(commands)


def _sealing_commands(group) -> None:
    text = "Encrypt a bundle, so that only its recipients can read it."
    seal = add_command(group, "seal", text, "rlaas bundle seal bundle --to robot.age.pub --out bundle.age", _seal)
    _add_bundle(seal)
    seal.add_argument(
        "--to",
        action="append",
        required=True,
        metavar="RECIPIENT",
        help="who can open it: age1..., an ssh-ed25519 or ssh-rsa public key, or a file of them; may be repeated",
    )
    add_path(seal, "--out", "the file to write")
    text = "Decrypt a sealed bundle."
    example = "rlaas bundle open bundle.age --identity robot.age --out bundle"
    unseal = add_command(group, "open", text, example, _open)
    unseal.add_argument("sealed", type=Path, metavar="FILE")
    add_path(unseal, "--identity", "an age identity or an ssh private key (default: your own)", required=False)
    add_path(unseal, "--out", "the bundle to write: a directory, or one file if the name ends in .zip")


def _key_commands(commands) -> None:
    group = add_group(commands, "keys", "Who vouches for bundles.", "rlaas keys list")
    text = "Make a key pair. Its private file is readable by you alone."
    new = add_command(group, "new", text, "rlaas keys new --out keys --name line_3", _new)
    add_path(new, "--out", "the folder (default: your own keys; what they sign is then trusted here)", required=False)
    new.add_argument("--name", help=f"of the files (default: {OWN})", default=OWN)
    new.add_argument("--passphrase", action="store_true", help=f"asks for one, or takes it from ${PASSPHRASE}")
    text = "an age identity, to open sealed bundles with, instead of a key to sign with"
    new.add_argument("--encryption", action="store_true", help=text)
    trust = add_command(group, "trust", "Let a key's bundles drive arms here.", "rlaas keys trust alice.pub", _trust)
    trust.add_argument("file", type=Path, metavar="FILE", help="a public key")
    trust.add_argument("--name", help="what it is called here (default: as its file)", default="")
    add_command(group, "list", "Which keys are trusted here, and which are yours.", "rlaas keys list", _list)


def _add_bundle(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="a directory or a .zip")


def add_trust(parser: argparse.ArgumentParser) -> None:
    """--trust and --allow-unsigned."""
    text = "a public key to trust besides those of 'rlaas keys list'; may be repeated"
    parser.add_argument("--trust", type=Path, action="append", default=[], metavar="PUBLIC_KEY", help=text)
    text = "take a bundle that nobody who is trusted has signed; that is shown wherever the bundle is"
    parser.add_argument("--allow-unsigned", action="store_true", help=text)


def trust_of(options: argparse.Namespace) -> "Trust":
    """What the options and this person's trusted keys say."""
    from robot_rlaas.bundle.keys import read_public
    from robot_rlaas.bundle.trust import Trust, trusted_keys

    return Trust((*(read_public(file) for file in options.trust), *trusted_keys()), options.allow_unsigned)


def own_key() -> "PrivateKey":
    """See `bundle.trust.own_key`; asks at the terminal for what it needs."""
    from robot_rlaas.bundle import trust

    return trust.own_key(passphrase, lambda text: print(f"rlaas: {text}", flush=True))


def passphrase() -> str:
    """Of a private key: from the environment, or from whoever sits at the terminal.

    Raises:
        InputError: if there is neither.
    """
    given = os.environ.get(PASSPHRASE)
    if given is not None:
        return given
    if not sys.stdin.isatty():
        raise InputError("the private key has a passphrase, and nobody can be asked for it", fix=f"set {PASSPHRASE}")
    return getpass.getpass("passphrase of the private key: ")


def _build(o: argparse.Namespace) -> int:
    from robot_rlaas.bundle.keys import read_private

    key = None if o.unsigned else read_private(o.key, passphrase) if o.key else own_key()
    return run_stage(lambda p, watch: p.build_bundle(o.policy, o.report, o.out, key, o.cell))


def _verify(options: argparse.Namespace) -> int:
    from robot_rlaas.bundle import load_bundle

    bundle = load_bundle(options.bundle, trust_of(options))
    print(f"{bundle.manifest['name']}: every file is as it was built, sha256 {bundle.sha256}; {bundle.origin}")
    return DONE


def _show(options: argparse.Namespace) -> int:
    from robot_rlaas.bundle import load_bundle
    from robot_rlaas.jobs.pipeline import parity_words

    bundle = load_bundle(options.bundle)
    print(f"{bundle.manifest['name']}  for cell {bundle.cell.name} ({bundle.cell.hash[:12]})")
    print(f"  {_vouched(options.bundle, bundle)}")
    for side, features in (("sees", bundle.contract.observation), ("does", bundle.contract.action)):
        for f in features:
            print(f"  {side}  {f.name} [{', '.join(f.axes)}] {f.unit}, frame {f.frame}, {f.low:g} to {f.high:g}")
    for row in (bundle.report or {}).get("requirements", []):
        print(f"  {row['verdict']:<9} {row['name']}: {row['value']}, limit {row['limit']}")
    if bundle.report is None:
        print("  not qualified")
    print(f"  network: {parity_words(bundle)}")
    print(f"  operating domain: {bundle.domain or 'unknown'}")
    return DONE


def _vouched(path: Path, bundle: "Bundle") -> str:
    """Who vouches for it here, or why nobody does."""
    from robot_rlaas.bundle.contents import read_contents
    from robot_rlaas.bundle.trust import Trust, origin_of, trusted_keys

    try:
        return str(origin_of(read_contents(path), path, Trust(trusted_keys())))
    except InputError:
        return str(bundle.origin)


def _new(o: argparse.Namespace) -> int:
    from robot_rlaas.bundle import keys, trust

    folder = o.out or trust.keys_dir()
    if o.encryption:
        from robot_rlaas.bundle.sealed import make_identity

        private, recipient = make_identity(folder, o.name)
        print(f"identity: {private}\nrecipient: {recipient}")
        return DONE
    pair = keys.make_pair(folder, o.name, _new_passphrase() if o.passphrase else "")
    print(f"private key: {pair.private}\npublic key: {pair.public}")
    if o.out is None:
        trust.trust_key(pair.public)
        print("what it signs is trusted on this machine; elsewhere: 'rlaas keys trust' with the public key")
    return DONE


def _new_passphrase() -> str:
    given = passphrase()
    if PASSPHRASE not in os.environ and getpass.getpass("once more: ") != given:
        raise InputError("the two passphrases differ")
    if not given:
        raise InputError("an empty passphrase is none", fix="leave --passphrase out, or type one")
    return given


def _trust(options: argparse.Namespace) -> int:
    from robot_rlaas.bundle.trust import trust_key

    key, kept = trust_key(options.file, options.name)
    print(f"{kept.stem} {key.fingerprint}\nits bundles may drive arms here, as long as there is {kept}")
    return DONE


def _list(options: argparse.Namespace) -> int:
    from robot_rlaas.bundle.keys import PRIVATE
    from robot_rlaas.bundle.trust import keys_dir, trusted_dir, trusted_keys

    print(f"trusted, in {trusted_dir()}:")
    for key in trusted_keys():
        print(f"  {key.name}  {key.fingerprint}")
    print(f"yours, in {keys_dir()}:")
    for file in sorted(keys_dir().glob(f"*{PRIVATE}")):
        print(f"  {file.stem}")
    return DONE


def _seal(o: argparse.Namespace) -> int:
    from robot_rlaas.bundle.sealed import seal

    seal(o.bundle, o.to, o.out)
    print(f"{o.out}: only its recipients can open it")
    return DONE


def _open(o: argparse.Namespace) -> int:
    from robot_rlaas.bundle.sealed import own_identity, unseal

    unseal(o.sealed, o.identity or own_identity(), o.out)
    print(f"{o.out}: a bundle; 'rlaas bundle verify' tells who vouches for it")
    return DONE
