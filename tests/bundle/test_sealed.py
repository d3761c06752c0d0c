"""Bundles that only their recipients can read."""

import stat
import sys

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from handmade import bundle_in
from samples import signing_key

from robot_rlaas.bundle import load_bundle
from robot_rlaas.bundle.contents import read_contents
from robot_rlaas.bundle.sealed import make_identity, own_identity, seal, unseal
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cli import main

pyrage = pytest.importorskip("pyrage")


@pytest.fixture
def robot(tmp_path):
    return make_identity(tmp_path / "robot", "robot")


def test_the_recipient_gets_the_very_same_bundle(signed, trust, robot, tmp_path):
    identity, recipient = robot
    assert stat.S_IMODE(identity.stat().st_mode) == 0o600
    seal(signed, [recipient], tmp_path / "bundle.age")
    content = (tmp_path / "bundle.age").read_bytes()
    assert content.startswith(b"age-encryption.org/v1\n")
    assert b"manifest" not in content
    for out in ("opened", "opened.zip"):
        unseal(tmp_path / "bundle.age", identity, tmp_path / out)
        assert read_contents(tmp_path / out) == read_contents(signed)
        assert load_bundle(tmp_path / out, trust).origin.accepted


def test_nobody_else_opens_it(signed, robot, tmp_path):
    seal(signed, [robot[1]], tmp_path / "bundle.age")
    eve, _ = make_identity(tmp_path / "eve", "eve")
    with pytest.raises(InputError, match="cannot be opened") as caught:
        unseal(tmp_path / "bundle.age", eve, tmp_path / "out")
    assert "AGE-SECRET" not in str(caught.value)
    content = bytearray((tmp_path / "bundle.age").read_bytes())
    for i in (50, len(content) // 2, len(content) - 1):
        content[i] ^= 1
        (tmp_path / "changed.age").write_bytes(content)
        content[i] ^= 1
        with pytest.raises(InputError, match="cannot be opened"):
            unseal(tmp_path / "changed.age", robot[0], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_inside_must_be_a_bundle(robot, tmp_path):
    """Whoever knows a public key can seal something for it."""
    recipient = pyrage.x25519.Recipient.from_str(robot[1])
    (tmp_path / "evil.age").write_bytes(pyrage.encrypt(b"not a zip", [recipient]))
    with pytest.raises(InputError, match=r"not a readable \.zip"):
        unseal(tmp_path / "evil.age", robot[0], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_changed_bundle_is_not_sealed(robot, tmp_path):
    bundle = bundle_in(tmp_path)
    (bundle / "network.onnx").write_bytes(b"x")
    with pytest.raises(InputError, match=r"network\.onnx"):
        seal(bundle, [robot[1]], tmp_path / "bundle.age")
    assert not (tmp_path / "bundle.age").exists()


def test_recipients_can_be_many_and_come_in_files(signed, robot, tmp_path):
    other, other_recipient = make_identity(tmp_path / "other", "other")
    ssh = ed25519.Ed25519PrivateKey.generate()
    form = serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    id_ed25519 = _file(tmp_path / "id_ed25519", ssh.private_bytes(*form).decode())
    ssh_form = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    everyone = tmp_path / "everyone.txt"
    everyone.write_text(f"# the line's robots\n{robot[1]}\n\n{other_recipient}\n")
    seal(signed, [str(everyone), ssh.public_key().public_bytes(*ssh_form).decode()], tmp_path / "bundle.age")
    for i, identity in enumerate((robot[0], other, id_ed25519)):
        unseal(tmp_path / "bundle.age", identity, tmp_path / f"opened_{i}")
        assert read_contents(tmp_path / f"opened_{i}") == read_contents(signed)


@pytest.mark.parametrize("given", ["age1nobody", "ssh-ed25519 nobody", "nobody"])
def test_what_is_no_recipient_is_refused(signed, tmp_path, given):
    with pytest.raises(InputError, match="nobody"):
        seal(signed, [given], tmp_path / "bundle.age")


def test_an_identity_is_its_owners_alone(signed, robot, tmp_path):
    seal(signed, [robot[1]], tmp_path / "bundle.age")
    robot[0].chmod(0o644)
    with pytest.raises(InputError, match="others may read"):
        unseal(tmp_path / "bundle.age", robot[0], tmp_path / "out")
    with pytest.raises(InputError, match="not an age identity"):
        unseal(tmp_path / "bundle.age", _file(tmp_path / "letter", "dear"), tmp_path / "out")
    with pytest.raises(InputError, match="cannot read the identity"):
        unseal(tmp_path / "bundle.age", tmp_path / "nobody", tmp_path / "out")


def _file(path, content: str):
    path.write_text(content)
    path.chmod(0o600)
    return path


def test_the_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    bundle = bundle_in(tmp_path / "made", signing_key(tmp_path, "alice"))
    assert main(["keys", "new", "--encryption"]) == 0
    recipient = capsys.readouterr().out.split()[-1]
    assert own_identity().is_file()
    assert main(["bundle", "seal", str(bundle), "--to", recipient, "--out", str(tmp_path / "b.age")]) == 0
    assert main(["bundle", "open", str(tmp_path / "b.age"), "--out", str(tmp_path / "b.zip")]) == 0
    assert main(["bundle", "verify", str(tmp_path / "b.zip"), "--trust", str(tmp_path / "alice.pub")]) == 0


def test_without_the_library_it_is_said(signed, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyrage", None)
    assert main(["bundle", "seal", str(signed), "--to", "age1", "--out", str(tmp_path / "b.age")]) == 2
    assert "pip install 'robot_rlaas[seal]'" in capsys.readouterr().err
