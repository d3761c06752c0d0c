"""A bundle as one file, and every .zip that is none."""

import io
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
from handmade import CELL, CONTRACT, bundle_in, policy_in, report_in

from robot_rlaas.bundle import build_bundle, contents, load_bundle
from robot_rlaas.bundle.contents import is_bundle, read_contents, zipped
from robot_rlaas.bundle.trust import origin_of
from robot_rlaas.cell.errors import InputError
from robot_rlaas.jobs import policies


@pytest.fixture(scope="module")
def packed(alice, tmp_path_factory) -> Path:
    return bundle_in(tmp_path_factory.mktemp("zip"), alice, "bundle.zip")


def archive(path: Path, *entries: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in entries:
            file.writestr(name, content)
    return path


def with_one_more(packed: Path, path: Path, name: str | zipfile.ZipInfo, content: bytes = b"x") -> Path:
    return archive(path, *read_contents(packed).items(), (name, content))


def test_one_file_holds_what_the_directory_holds(packed, signed, trust):
    one, other = load_bundle(packed, trust), load_bundle(signed, trust)
    assert (one.sha256, one.origin, one.report) == (other.sha256, other.origin, other.report)
    observation = np.ones((3, CONTRACT.observation_size), np.float32)
    np.testing.assert_array_equal(one.policy().act(observation), other.policy().act(observation))


def test_the_same_files_are_the_same_bytes(tmp_path):
    policy = policy_in(tmp_path / "policy")
    a, b = (build_bundle(policy, None, tmp_path / f"{name}.zip") for name in "ab")
    assert a.read_bytes() == b.read_bytes()


def test_a_zip_is_a_policy_to_judge(packed, signed):
    one, other = policies.load(packed, CELL, 1), policies.load(signed, CELL, 1)
    assert (one.kind, one.sha256) == ("bundle", other.sha256)


def test_only_a_bundle_is_overwritten(packed, tmp_path):
    policy = policy_in(tmp_path / "policy")
    mine = archive(tmp_path / "mine.zip", ("letter.txt", b"dear"))
    folder = tmp_path / "folder.zip"
    folder.mkdir()
    for path in (mine, folder):
        with pytest.raises(InputError, match="not overwritten"):
            build_bundle(policy, None, path)
    assert zipfile.ZipFile(mine).namelist() == ["letter.txt"]
    again = tmp_path / "again.zip"
    again.write_bytes(packed.read_bytes())
    assert load_bundle(build_bundle(policy, None, again)).report is None
    assert sorted(p.name for p in tmp_path.iterdir()) == ["again.zip", "folder.zip", "mine.zip", "policy"]


NAMES = [
    "../evil.txt",
    "/etc/passwd",
    "bundle/manifest.json",
    "..\\evil.txt",
    "C:\\evil.txt",
    "policy.pkl",
    "a\x1b[2Jb",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_that_lead_elsewhere_are_refused(packed, tmp_path, name):
    changed = with_one_more(packed, tmp_path / "x.zip", name)
    with pytest.raises(InputError, match="no bundle has such a file") as caught:
        load_bundle(changed)
    assert "\x1b" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["x.zip"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["network.onnx", "manifest.json", "model.sig"])
def test_a_name_twice_is_refused(packed, tmp_path, name):
    """Readers differ in which of the two they take."""
    with pytest.raises(InputError, match="the same name twice"):
        load_bundle(with_one_more(packed, tmp_path / "x.zip", name))


def kind_of(mode: int, name: str = "domain.json") -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = mode << 16
    return entry


@pytest.mark.parametrize("mode", [stat.S_IFLNK | 0o777, stat.S_IFDIR | 0o755, stat.S_IFIFO])
def test_what_is_no_plain_file_is_refused(packed, tmp_path, mode):
    with pytest.raises(InputError, match="not a plain file"):
        load_bundle(with_one_more(packed, tmp_path / "x.zip", kind_of(mode), b"/etc/passwd"))


def test_a_bomb_is_refused_before_it_goes_off(tmp_path, monkeypatch):
    """It says how large it is, or it lies: then no more is unpacked than it says."""
    monkeypatch.setattr(contents, "MOST_BYTES", 2**20)
    large = archive(tmp_path / "large.zip", ("manifest.json", bytes(2**20 + 1)))
    assert large.stat().st_size < 2000
    with pytest.raises(InputError, match="the most that a bundle may be"):
        load_bundle(large)
    honest = archive(tmp_path / "two.zip", ("manifest.json", bytes(2**19 + 1)), ("domain.json", bytes(2**19)))
    with pytest.raises(InputError, match="the most that a bundle may be"):
        load_bundle(honest)
    size = (2**20 + 1).to_bytes(4, "little")
    large.write_bytes(large.read_bytes().replace(size, (100).to_bytes(4, "little")))
    with pytest.raises(InputError, match=r"not a readable \.zip"):
        load_bundle(large)


def test_a_directory_is_bounded_too(signed, monkeypatch):
    monkeypatch.setattr(contents, "MOST_BYTES", 2000)
    with pytest.raises(InputError, match="the most that a bundle may be"):
        read_contents(signed)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_ways_of_packing_are_refused(tmp_path, method):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", method) as file:
        file.writestr("manifest.json", b"{}")
    (tmp_path / "x.zip").write_bytes(packed.getvalue())
    with pytest.raises(InputError, match="packed in a way"):
        load_bundle(tmp_path / "x.zip")


def test_every_flipped_byte_is_refused_or_changes_nothing(packed, trust, tmp_path):
    """What a .zip says of times and the like may change, and what it lists; what is taken for a bundle may not."""
    content, whole = packed.read_bytes(), read_contents(packed)
    harmless, tried = 0, range(0, len(content), 3)
    for i in tried:
        try:
            found = contents.contents_of_zip(packed, content[:i] + bytes([content[i] ^ 1]) + content[i + 1 :])
        except InputError:
            continue
        if found == whole:
            harmless += 1
            continue
        with pytest.raises(InputError):  # it hides a file
            origin_of(found, packed, trust)
    assert harmless < len(tried) / 5


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip", bytes(1000)])
def test_what_is_no_zip_is_refused(tmp_path, content):
    (tmp_path / "x.zip").write_bytes(content)
    assert not is_bundle(tmp_path / "x.zip")
    with pytest.raises(InputError, match=r"not a readable \.zip"):
        load_bundle(tmp_path / "x.zip")


def test_a_cut_zip_is_refused(packed, tmp_path):
    content = packed.read_bytes()
    for length in range(0, len(content), 97):
        (tmp_path / "x.zip").write_bytes(content[:length])
        with pytest.raises(InputError):
            load_bundle(tmp_path / "x.zip")


def test_what_comes_out_goes_in_again(signed):
    files = read_contents(signed)
    assert contents.contents_of_zip(signed, zipped(files)) == files


def test_the_report_comes_along(tmp_path):
    policy = policy_in(tmp_path / "policy")
    bundle = build_bundle(policy, report_in(tmp_path, policy), tmp_path / "x.zip")
    assert load_bundle(bundle).report == load_bundle(bundle_in(tmp_path / "other")).report
