"""Who vouches for a bundle: every way to change one, and the format that others write and read."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from handmade import CELL, bundle_in, policy_in
from samples import signing_key

from robot_rlaas.bundle import Trust, build_bundle, load_bundle
from robot_rlaas.bundle.contents import KNOWN, SIGNATURE, read_contents
from robot_rlaas.bundle.keys import read_public
from robot_rlaas.bundle.load import seal_of, sha256
from robot_rlaas.bundle.signature import check, read_claim, sign, statement
from robot_rlaas.bundle.trust import origin_of
from robot_rlaas.cell.errors import InputError

STOCK = Path(__file__).parent / "openssf"


@pytest.fixture
def copy(signed, tmp_path) -> Path:
    return shutil.copytree(signed, tmp_path / "copy")


def sealed_again(bundle: Path) -> None:
    """Make manifest and seal fit what is there: whoever can change a file can do that, too."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    names = {p.name for p in bundle.iterdir()} - {"manifest.json", "bundle.sha256", SIGNATURE}
    manifest["files"] = {name: sha256((bundle / name).read_bytes()) for name in sorted(names)}
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    (bundle / "bundle.sha256").write_text(seal_of((bundle / "manifest.json").read_bytes()))


def refused(bundle: Path, trust: Trust, words: str) -> str:
    with pytest.raises(InputError, match=words) as caught:
        load_bundle(bundle, trust)
    assert "fix:" in str(caught.value)
    return str(caught.value)


def test_a_signed_bundle_tells_who_vouches_for_it(signed, alice, trust):
    origin = load_bundle(signed, trust).origin
    assert origin.accepted
    assert str(origin) == f"signed by alice ({alice.public.fingerprint[:12]})"
    assert not load_bundle(signed).origin.accepted, "nobody was asked"


def test_every_flipped_byte_is_refused(signed, trust):
    """In memory: every byte of the signature and of short files, every fifth of the others."""
    contents = read_contents(signed)
    for name, content in contents.items():
        for i in range(0, len(content), 1 if name == SIGNATURE or len(content) < 700 else 5):
            flipped = {**contents, name: content[:i] + bytes([content[i] ^ 1]) + content[i + 1 :]}
            with pytest.raises(InputError):
                origin_of(flipped, signed, trust)


@pytest.mark.parametrize("name", sorted(KNOWN - {SIGNATURE, "domain.json", "manifest.json", "bundle.sha256"}))
def test_a_change_that_hashes_were_fitted_to_is_refused(copy, trust, name):
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content.replace(b"0", b"1", 1) if name.endswith("json") else content + b" ")
    sealed_again(copy)
    refused(copy, trust, "changed after it was signed")


def test_added_and_removed_files_are_refused(copy, trust):
    (copy / "domain.json").write_text("{}")
    sealed_again(copy)
    refused(copy, trust, r"domain\.json: a file that was not signed")
    for name in ("domain.json", "report.json"):
        (copy / name).unlink()
    sealed_again(copy)
    refused(copy, trust, r"report\.json: a file that was signed is missing")


@pytest.mark.parametrize("name", ["policy.pkl", ".hidden", "..."])
def test_a_file_that_no_bundle_has_is_refused(copy, trust, name):
    (copy / name).write_bytes(b"x")
    assert name in refused(copy, trust, "no bundle has such a file")


def test_a_removed_signature_is_refused_and_can_be_allowed(copy, trust):
    (copy / SIGNATURE).unlink()
    refused(copy, trust, "the bundle is not signed")
    refused(copy, Trust(), "the bundle is not signed")
    let_in = load_bundle(copy, trust._replace(allow_unsigned=True)).origin
    assert let_in.accepted
    assert str(let_in) == "UNSIGNED, let in by --allow-unsigned"


def test_a_foreign_key_is_refused_and_can_be_allowed(signed, tmp_path, alice):
    eve = signing_key(tmp_path, "eve")
    said = refused(signed, Trust((eve.public,)), "not trusted here")
    assert f"trusted: eve ({eve.public.fingerprint[:12]})" in said
    let_in = load_bundle(signed, Trust((eve.public,), allow_unsigned=True)).origin
    assert "UNTRUSTED" in str(let_in)
    assert alice.public.fingerprint[:12] in str(let_in)


def test_a_swapped_signature_is_refused(copy, tmp_path, alice, trust):
    """Of another bundle by the same key; of this one by another key that claims to be this one."""
    other = build_bundle(policy_in(tmp_path / "policy"), None, tmp_path / "other", key=alice)
    mine = (copy / SIGNATURE).read_bytes()
    (copy / SIGNATURE).write_bytes((other / SIGNATURE).read_bytes())
    refused(copy, trust, r"report\.json: a file that was not signed")
    eve = signing_key(tmp_path, "eve")
    forged = eve._replace(public=alice.public)
    (copy / SIGNATURE).write_bytes(sign(read_contents(copy), "forged", forged))
    refused(copy, trust, "the signature is not one of alice")
    refused(copy, trust._replace(allow_unsigned=True), "the signature is not one of alice")
    (copy / SIGNATURE).write_bytes(mine)
    assert load_bundle(copy, trust).origin.accepted


def link_to_the_same(bundle: Path, elsewhere: Path) -> None:
    shutil.move(bundle / "network.onnx", elsewhere / "network.onnx")
    (bundle / "network.onnx").symlink_to(elsewhere / "network.onnx")


def directory_of_a_name(bundle: Path, elsewhere: Path) -> None:
    (bundle / "network.onnx").unlink()
    (bundle / "network.onnx").mkdir()


def pipe_of_a_name(bundle: Path, elsewhere: Path) -> None:
    (bundle / "domain.json").unlink(missing_ok=True)
    os.mkfifo(bundle / "domain.json")


@pytest.mark.parametrize("trick", [link_to_the_same, directory_of_a_name, pipe_of_a_name])
def test_what_is_no_plain_file_is_refused(copy, tmp_path, trust, trick: Callable):
    """A link to the very same bytes, too: they could be others when the next process reads them."""
    trick(copy, tmp_path)
    refused(copy, trust, "not a plain file")


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b"\xff", b"[" * 100_000, b'{"dsseEnvelope": {"payload": 3}}', b'{"mediaType": "a\x1b[2J"}'],
)
def test_what_is_no_signature_is_refused(copy, trust, content):
    (copy / SIGNATURE).write_bytes(content)
    assert "\x1b" not in refused(copy, trust, "not a signature of OpenSSF model-signing")
    with pytest.raises(InputError):
        load_bundle(copy)


def test_another_notation_of_a_right_signature_is_refused(copy, trust):
    """Nothing can be added to it that somebody else's reader might understand."""
    told = json.loads((copy / SIGNATURE).read_text())
    for change in (dict, lambda t: t | {"more": 1}, lambda t: t["dsseEnvelope"]["signatures"].append({}) or t):
        (copy / SIGNATURE).write_text(json.dumps(change(json.loads(json.dumps(told)))))
        refused(copy, trust, "not a signature")


def test_the_stock_tool_and_this_one_write_the_same_statement():
    """`model_signing sign key` of model-signing 1.1.1 signed tests/bundle/openssf/model with a P-384 key."""
    contents = {p.name: p.read_bytes() for p in (STOCK / "model").iterdir()}
    claim = read_claim(contents, STOCK)
    assert claim is not None
    told, own = json.loads(claim.payload), statement(contents, "model")
    assert told["predicate"]["serialization"].pop("ignore_paths") != []
    assert own["predicate"]["serialization"].pop("ignore_paths") == [SIGNATURE]
    assert own == told


def test_what_the_stock_tool_signed_is_taken():
    contents = {p.name: p.read_bytes() for p in (STOCK / "model").iterdir()}
    key, claim = read_public(STOCK / "signer.pub"), read_claim(contents, STOCK)
    assert claim is not None
    check(contents, STOCK, claim, key)
    with pytest.raises(InputError, match=r"weights\.bin: the file was changed after it was signed"):
        check({**contents, "weights.bin": b"heavier"}, STOCK, claim, key)


def test_an_unsigned_bundle_is_the_same_but_for_the_signature(signed, tmp_path):
    unsigned = bundle_in(tmp_path)
    assert {p.name for p in signed.iterdir()} - {p.name for p in unsigned.iterdir()} == {SIGNATURE}
    assert load_bundle(unsigned).sha256 == load_bundle(signed).sha256
    assert load_bundle(unsigned).cell == CELL
