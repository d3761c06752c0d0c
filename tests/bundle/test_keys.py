"""Key files, the trust store, and the commands for both."""

import os
import stat

import pytest
from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from handmade import bundle_in, policy_in

from robot_rlaas.bundle import Trust, load_bundle
from robot_rlaas.bundle.contents import read_contents
from robot_rlaas.bundle.keys import make_pair, read_private, read_public
from robot_rlaas.bundle.trust import config_dir, keys_dir, own_key, trust_key, trusted_keys
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cli import main


@pytest.fixture(autouse=True)
def fresh_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def nobody() -> str:
    raise AssertionError("there is no passphrase")


def test_only_the_owner_may_read_a_private_key(tmp_path):
    before = os.umask(0)
    try:
        pair = make_pair(tmp_path / "keys", "alice")
    finally:
        os.umask(before)
    assert stat.S_IMODE(pair.private.stat().st_mode) == 0o600
    assert stat.S_IMODE(pair.private.parent.stat().st_mode) == 0o700
    key = read_private(pair.private, nobody)
    assert key.public.fingerprint == read_public(pair.public).fingerprint
    pair.private.chmod(0o640)
    with pytest.raises(InputError, match=r"others may read this private key \(mode 0640\)") as caught:
        read_private(pair.private, nobody)
    assert f"chmod 600 {pair.private}" in str(caught.value)


def test_no_key_is_overwritten(tmp_path):
    pair = make_pair(tmp_path, "alice")
    content = pair.private.read_bytes()
    with pytest.raises(InputError, match="not overwritten"):
        make_pair(tmp_path, "alice")
    pair.private.rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"alice\.pub: there is a key already"):
        make_pair(tmp_path, "alice")
    assert (tmp_path / "elsewhere").read_bytes() == content
    with pytest.raises(InputError, match="is no name for a key"):
        make_pair(tmp_path, "../alice")


def test_a_passphrase_is_asked_for_and_must_be_right(tmp_path):
    pair = make_pair(tmp_path, "alice", "correct horse")
    assert b"ENCRYPTED" in pair.private.read_bytes()
    key = read_private(pair.private, lambda: "correct horse")
    assert key.public.verifies(key.sign(b"message"), b"message")
    assert not key.public.verifies(key.sign(b"message"), b"massage")
    with pytest.raises(InputError, match="the passphrase is wrong") as caught:
        read_private(pair.private, lambda: "battery staple")
    assert "staple" not in str(caught.value)


def test_openssl_makes_keys_that_do(tmp_path):
    """As `openssl ecparam -name prime256v1 -genkey -noout` writes them."""
    form = s.Encoding.PEM, s.PrivateFormat.TraditionalOpenSSL, s.NoEncryption()
    file = tmp_path / "factory.key"
    file.write_bytes(ec.generate_private_key(ec.SECP256R1()).private_bytes(*form))
    file.chmod(0o600)
    assert read_private(file, nobody).public.name == "factory"


def test_other_files_are_refused(tmp_path):
    other = ed25519.Ed25519PrivateKey.generate()
    pem, kind = s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo
    (tmp_path / "ed.pub").write_bytes(other.public_key().public_bytes(pem, kind))
    with pytest.raises(InputError, match="allowed are secp256r1"):
        read_public(tmp_path / "ed.pub")
    pair = make_pair(tmp_path, "alice")
    with pytest.raises(InputError, match="this is a private key") as caught:
        read_public(pair.private)
    assert "alice.pub" in str(caught.value)
    (tmp_path / "letter.pub").write_text("dear")
    with pytest.raises(InputError, match="not a public key"):
        read_public(tmp_path / "letter.pub")
    with pytest.raises(InputError, match="cannot read the key"):
        read_private(tmp_path / "none.key", nobody)


def test_a_private_key_is_never_shown(tmp_path):
    pair = make_pair(tmp_path, "alice")
    secret = pair.private.read_text().splitlines()[1]
    key = read_private(pair.private, nobody)
    bundle = bundle_in(tmp_path / "b", key)
    packed = [content.decode(errors="replace") for content in read_contents(bundle).values()]
    assert not any(secret in told for told in (repr(key), str(key), repr(key.public), *packed))


def test_settings_are_where_the_standard_says(tmp_path, monkeypatch):
    assert config_dir() == tmp_path / "config/rlaas"
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_CONFIG_HOME", value)
        assert config_dir() == tmp_path / "home/.config/rlaas"


def test_what_is_trusted_is_a_file_that_can_be_removed(tmp_path):
    assert trusted_keys() == ()
    pair = make_pair(tmp_path, "alice")
    key, kept = trust_key(pair.public)
    assert trust_key(pair.public)[1] == kept, "once more changes nothing"
    assert [k.fingerprint for k in trusted_keys()] == [key.fingerprint]
    other = make_pair(tmp_path / "other", "alice")
    with pytest.raises(InputError, match="another key is trusted under the name 'alice'"):
        trust_key(other.public)
    trust_key(other.public, "alice_2")
    assert [k.name for k in trusted_keys()] == ["alice", "alice_2"]
    kept.unlink()
    assert [k.name for k in trusted_keys()] == ["alice_2"]


def test_ones_own_key_is_made_once_and_that_is_said():
    said = []
    key = own_key(nobody, said.append)
    assert len(said) == 1
    assert str(keys_dir() / "own.key") in said[0]
    assert own_key(nobody, said.append).public.fingerprint == key.public.fingerprint
    assert len(said) == 1
    assert [k.fingerprint for k in trusted_keys()] == [key.public.fingerprint]


def test_the_commands_from_a_key_to_a_verified_bundle(tmp_path, capsys):
    def rlaas(*arguments) -> tuple[int, str]:
        code = main([str(a) for a in arguments])
        shown = capsys.readouterr()
        return code, shown.out + shown.err

    policy, keys = policy_in(tmp_path / "policy"), tmp_path / "keys"
    build = ("bundle", "build", "--policy", policy, "--out")
    assert rlaas("keys", "new", "--out", keys, "--name", "line_3")[0] == 0
    code, said = rlaas(*build, tmp_path / "a", "--key", keys / "line_3.key")
    assert (code, "signed by line_3" in said) == (0, True)
    code, said = rlaas("bundle", "verify", tmp_path / "a")
    assert (code, "not trusted here" in said) == (2, True)
    assert rlaas("bundle", "verify", tmp_path / "a", "--trust", keys / "line_3.pub")[0] == 0
    assert "UNTRUSTED" in rlaas("bundle", "show", tmp_path / "a")[1]
    assert rlaas("keys", "trust", keys / "line_3.pub")[0] == 0
    code, said = rlaas("bundle", "verify", tmp_path / "a")
    assert (code, "signed by line_3" in said) == (0, True)
    assert "line_3" in rlaas("keys", "list")[1]
    assert "signed by line_3" in rlaas("bundle", "show", tmp_path / "a")[1]
    code, said = rlaas(*build, tmp_path / "b.zip")
    assert (code, "a key to sign bundles with was made" in said, "signed by own" in said) == (0, True, True)
    assert rlaas("bundle", "verify", tmp_path / "b.zip")[0] == 0
    code, said = rlaas(*build, tmp_path / "c", "--unsigned")
    assert (code, "UNSIGNED" in said) == (0, True)
    code, said = rlaas("bundle", "verify", tmp_path / "c")
    assert (code, "not signed" in said, "--allow-unsigned" in said) == (2, True, True)
    code, said = rlaas("bundle", "verify", tmp_path / "c", "--allow-unsigned")
    assert (code, "UNSIGNED, let in" in said) == (0, True)


def test_a_passphrase_comes_from_the_environment_where_nobody_can_be_asked(tmp_path, monkeypatch, capsys):
    policy = policy_in(tmp_path / "policy")
    monkeypatch.setenv("RLAAS_KEY_PASSPHRASE", "correct horse")
    assert main(["keys", "new", "--out", str(tmp_path), "--name", "alice", "--passphrase"]) == 0
    build = ["bundle", "build", "--policy", str(policy), "--key", str(tmp_path / "alice.key"), "--out"]
    assert main([*build, str(tmp_path / "a")]) == 0
    assert load_bundle(tmp_path / "a", Trust((read_public(tmp_path / "alice.pub"),))).origin.accepted
    monkeypatch.delenv("RLAAS_KEY_PASSPHRASE")
    with open(os.devnull) as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        assert main([*build, str(tmp_path / "b")]) == 2
    assert "set RLAAS_KEY_PASSPHRASE" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()
