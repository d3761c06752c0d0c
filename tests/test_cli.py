"""The command as a person uses it."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from robot_rlaas.cli import main

RLAAS = [sys.executable, "-m", "robot_rlaas.cli"]
ROOT = Path(__file__).parents[1]
SMOKE = ["--recipe", "smoke", "--episodes", "24", "--until", "bundle"]


def rlaas(*arguments: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run([*RLAAS, *arguments], capture_output=True, text=True, timeout=200, **options)


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> dict[str, str]:
    """An environment in which the wheel is found, and the checkout is not."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder / "dist"), str(ROOT)],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    with zipfile.ZipFile(next((folder / "dist").glob("*.whl"))) as wheel:
        wheel.extractall(folder / "site")
    return {**os.environ, "PYTHONPATH": str(folder / "site")}


@pytest.fixture(scope="module")
def finished(installed: dict[str, str], tmp_path_factory) -> Path:
    """A whole smoke run from the wheel, in another folder than the checkout, without the ROS stages."""
    folder = tmp_path_factory.mktemp("run")
    result = rlaas("run", "peg_insertion", *SMOKE, "--out", "smoke", cwd=folder, env=installed)
    assert result.returncode in (0, 1), result.stderr
    return folder / "smoke"


def test_help_does_not_pay_for_heavy_imports() -> None:
    script = (
        "import sys; from robot_rlaas.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'mujoco', 'lerobot', 'rclpy', 'matplotlib', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=30, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(
    "words",
    ["cell check", "cell show", "cell diff", "cell new", "cell schema", "cell list",
     "demos generate", "train", "distill", "qualify", "compare", "bundle build",
     "bundle verify", "bundle show", "bundle seal", "bundle open",
     "keys new", "keys trust", "keys list", "deploy", "calibrate arm", "calibrate excite", "calibrate press",
     "calibrate import", "calibrate fit", "calibrate predict",
     "calibrate board", "calibrate camera",
     "calibrate drift", "calibrate contact", "loop", "run"],
)  # fmt: skip
def test_every_command_shows_an_example(words: str) -> None:
    shown = rlaas(*words.split(), "--help").stdout
    assert f"example: rlaas {words}" in shown


def test_bad_input_is_code_2_and_writes_nothing(tmp_path: Path, capfd) -> None:
    cell = tmp_path / "cell.yaml"
    shipped = (ROOT / "sim_assets/cells/peg_insertion.yaml").read_text()
    cell.write_text(shipped.replace("clearance_mm: 0.5", "clearance_mm: -0.5"))
    out = tmp_path / "out"
    for arguments in (
        ("cell", "check", str(cell)),
        ("run", str(cell), "--out", str(out)),
        ("demos", "generate", str(cell), "--out", str(out)),
        ("train", "peg_insertion", "--demos", str(tmp_path / "none"), "--out", str(out)),
        ("qualify", "peg_insertion", "--policy", str(tmp_path), "--out", str(out)),
        ("deploy", str(tmp_path / "none"), "--out", str(out)),
        ("run", "peg_insertion", "--recipe", "nonsense", "--out", str(out)),
    ):
        assert main(list(arguments)) == 2, arguments
        assert "Traceback" not in capfd.readouterr().err
        assert not out.exists(), arguments
    result = rlaas("cell", "check", str(cell))
    assert result.returncode == 2
    assert f"{cell}:" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("qualify peg_insertion --policy expert --out OUT --port /dev/null", "of a real arm"),
        ("qualify peg_insertion --policy expert --out OUT --arm virtual --robot-id left", "of a real arm"),
        ("qualify peg_insertion --policy expert --out OUT --controller trajectory", "--controller is of an arm"),
        ("loop peg_insertion --policy none --out OUT --port /dev/null", "of a real arm"),
        ("demos record peg_insertion --out OUT --arm virtual --arm-port /dev/null", "of a real arm"),
        ("demos record peg_insertion --out OUT --controller trajectory", "--controller is of an arm"),
    ],
)
def test_how_an_arm_is_reached_is_asked_of_an_arm(words: str, message: str, tmp_path: Path, capfd) -> None:
    out = tmp_path / "out"
    assert main(words.replace("OUT", str(out)).split()) == 2
    assert message in capfd.readouterr().err
    assert not out.exists()


def test_a_missing_cuda_device_is_said(finished: Path, tmp_path: Path) -> None:
    if pytest.importorskip("torch").cuda.is_available():
        pytest.skip("there is a CUDA device")
    demos = str(finished / "demonstrations")
    result = rlaas("train", "peg_insertion", "--demos", demos, "--device", "cuda", "--out", str(tmp_path / "p"))
    assert result.returncode == 2
    assert "no CUDA device" in result.stderr


def test_a_run_leaves_its_artefacts(finished: Path) -> None:
    report = json.loads((finished / "qualification/report.json").read_text())
    assert set(report) >= {
        "cell",
        "cell_hash",
        "policy",
        "seed",
        "versions",
        "episodes",
        "success",
        "requirements",
        "cost",
    }
    assert report["episodes"] == 24
    assert set(report["success"]) == {"count", "rate", "lower_95", "upper_95"}
    names = [row["name"] for row in report["requirements"]]
    assert names == ["success", "cycle_time", "contact_force", "keep_out"]
    for path in ("policy/policy.onnx", "policy/sb3_model.zip", "qualification/report.html", "index.html"):
        assert (finished / path).stat().st_size > 1000
    assert not list(finished.rglob("*.part"))


def test_resume_keeps_what_is_finished_and_remakes_what_changed(finished: Path) -> None:
    policy = (finished / "policy/policy.onnx").stat().st_mtime_ns
    again = rlaas("run", "peg_insertion", *SMOKE, "--out", str(finished), "--resume")
    assert again.stdout.count("(kept)") == 5
    changed = rlaas("run", "peg_insertion", *SMOKE, "--episodes", "25", "--out", str(finished), "--resume")
    assert changed.stdout.count("(kept)") == 3
    assert (finished / "policy/policy.onnx").stat().st_mtime_ns == policy


@pytest.mark.long
def test_an_interrupted_run_resumes(tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [*RLAAS, "run", "peg_insertion", "--recipe", "default", "--until", "train", "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("3/"):
                break
        time.sleep(2)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "--resume" in errors
    assert not (out / "policy").exists()
    data = (out / "demonstrations/meta/info.json").stat().st_mtime_ns
    again = rlaas("run", "peg_insertion", "--until", "demonstrate", "--out", str(out), "--resume")
    assert again.stdout.count("(kept)") == 2, again.stdout
    assert (out / "demonstrations/meta/info.json").stat().st_mtime_ns == data


def test_a_runs_bundle_is_signed_and_does_what_the_trained_network_does(finished: Path) -> None:
    """On this machine it may drive an arm, and nobody was asked anything."""
    verified = rlaas("bundle", "verify", str(finished / "bundle"))
    assert verified.returncode == 0
    assert "signed by own" in verified.stdout
    parity = json.loads((finished / "bundle" / "manifest.json").read_text())["parity"]
    assert parity["observations"] == 1000
    assert 0 < parity["largest_difference"] < 2e-6


def test_a_changed_byte_in_a_bundle_is_refused(finished: Path, tmp_path: Path) -> None:
    import shutil

    for name in ("network.onnx", "contract.json"):
        copy = tmp_path / name
        shutil.copytree(finished / "bundle", copy)
        content = bytearray((copy / name).read_bytes())
        content[len(content) // 2] ^= 1
        (copy / name).write_bytes(content)
        result = rlaas("bundle", "verify", str(copy))
        assert result.returncode == 2
        assert name in result.stderr
    assert rlaas("bundle", "verify", str(finished / "bundle")).returncode == 0


def test_the_wheel_works_outside_the_checkout(installed: dict[str, str], finished: Path, tmp_path: Path) -> None:
    where = subprocess.run(
        [sys.executable, "-c", "import robot_rlaas; print(robot_rlaas.__file__)"],
        capture_output=True, text=True, cwd=tmp_path, env=installed, check=True,
    )  # fmt: skip
    assert where.stdout.startswith(installed["PYTHONPATH"])
    assert rlaas("cell", "check", "peg_insertion", cwd=tmp_path, env=installed).returncode == 0
    assert (finished / "index.html").is_file()
