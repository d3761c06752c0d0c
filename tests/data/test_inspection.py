"""What inspection finds: every defect where it was put, and nothing in what is good."""

import json
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from bench.defects import STATE, Scene
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.seeds import Seeds, Space
from robot_rlaas.cli import main
from robot_rlaas.data import edit
from robot_rlaas.data.episode import Episode, record, start_axes
from robot_rlaas.data.lerobot import append_episode, read_dataset, write_dataset
from robot_rlaas.data.lineage import Made, attempt_of, lineage_of, read_lineage
from robot_rlaas.data.opened import Opened, open_dataset
from robot_rlaas.data.quality.coverage import Axis, Candidates, next_starts
from robot_rlaas.data.quality.findings import Data, Severity, longest_run, outlying
from robot_rlaas.data.quality.inspection import CHECKS, inspect
from robot_rlaas.data.quality.rules import DEFAULT_RULES, RULES
from robot_rlaas.env.batch import BatchEnv
from robot_rlaas.env.insertion.expert import InsertionExpert
from robot_rlaas.jobs import demos
from robot_rlaas.sim.cpu import CpuBackend
from robot_rlaas.sim.model import build

EPISODES, SPOILT = 30, (7, 19)
SAYS = {  # a defect -> what has to be said of it
    "frozen_sensor": "frozen",
    "shifted_timestamps": "timestamps",
    "shifted_observations": "history",
    "swapped_axes": "kinematics",
    "clipped_actions": "clipped",
    "duplicate": "duplicate",
    "wrong_label": "label",
    "idle_tail": "idle_tail",
    "dropped_frames": "dropped",
    "repeated_frames": "dropped",
    "nan": "not_finite",
    "teleport": "kinematics",
}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Opened:
    """Good episodes on disk, opened."""
    from robot_rlaas.cell.spec import load_cell

    cell = load_cell("peg_insertion")
    work = build(cell)
    env = BatchEnv(cell, work, CpuBackend(work, cell, EPISODES), Seeds(0, Space.DEMONSTRATE))
    expert, rng = InsertionExpert(cell, env.contract, EPISODES), np.random.default_rng(0)
    episodes = record(env, expert, EPISODES, 0.1, rng, lambda: None)
    path = tmp_path_factory.mktemp("inspection") / "good"
    write(path, lineage_of(cell, env.contract, start_axes(cell), Made(by="a test")), episodes)
    return open_dataset(path)


def write(path: Path, *arguments, **more) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lerobot's and datasets' own
        write_dataset(path, *arguments, **more)


def with_episodes(opened: Opened, episodes: list[Episode]) -> Opened:
    lineage = opened.lineage.model_copy(update={"episodes": tuple(attempt_of(e) for e in episodes)})
    return opened._replace(lineage=lineage, episodes=dict(enumerate(episodes)))


def all_of(opened: Opened) -> list[Episode]:
    return [opened.episodes[i] for i in range(len(opened.episodes))]


def spoilt(opened: Opened, kind: str, at: tuple[int, ...] = SPOILT) -> Opened:
    rng, episodes = np.random.default_rng(list(kind.encode())), all_of(opened)
    for i in at:
        scene = Scene(opened.contract, opened.lineage.spec.control, episodes[:5], rng)
        episodes[i] = STATE[kind](episodes[i], scene)
    return with_episodes(opened, episodes)


class Watching:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def bar(self, text: str, done: float, total: float) -> None:
        assert 0 <= done <= total


def test_nothing_is_wrong_with_good_episodes(recorded: Opened) -> None:
    _, found, _ = demos.look(recorded.path, Watching())
    assert [f for f in found.findings if f.severity is not Severity.NOTE] == []
    assert found.content["counts"]["replayed"] == EPISODES
    assert {f.check for f in found.findings if f.episode is not None} <= RULES.keys()


@pytest.mark.parametrize("kind", STATE)
def test_each_defect_is_found_where_it_is_and_named(recorded: Opened, kind: str) -> None:
    found = inspect(Data(spoilt(recorded, kind)), {}).findings
    serious = [f for f in found if f.severity is not Severity.NOTE]
    assert {f.episode for f in serious} == set(SPOILT)
    for i in SPOILT:
        assert SAYS[kind] in {f.check for f in serious if f.episode == i}
    assert {f.check for f in found if f.episode is not None} <= RULES.keys()
    if kind == "idle_tail":  # the rest of such an episode is good
        assert {f.severity for f in serious} == {Severity.TRIM}


def test_exchanged_axes_are_called_by_their_names(recorded: Opened) -> None:
    episodes = all_of(recorded)
    order = [1, 0, 2, 3]
    names = [f"{f.name}.{axis}" for f in recorded.contract.observation for axis in f.axes]
    last = names.index("last_action.x")
    observation = episodes[3].observation.copy()
    observation[:, [last, last + 1]] = observation[:, [last + 1, last]]
    e = episodes[3]
    episodes[3] = e._replace(observation=observation, action=e.action[:, order], executed=e.executed[:, order])
    [said] = [f for f in inspect(Data(with_episodes(recorded, episodes)), {}).findings if f.check == "kinematics"]
    assert "x and y of the action are exchanged" in said.text


def test_replay_finds_what_no_log_contradicts(recorded: Opened) -> None:
    """A whole consistent log, of another start than the one that it claims."""
    episodes = all_of(recorded)
    episodes[4] = episodes[4]._replace(number=1234)
    data = Data(with_episodes(recorded, episodes))
    assert {f.episode for f in inspect(data, {}).findings if f.severity is Severity.BAD} == set()
    found = inspect(data, demos.simulate_again(data, Watching())).findings
    assert {(f.episode, f.check) for f in found if f.severity is Severity.BAD} == {(4, "replay")}


def test_a_simulation_that_has_changed_blames_no_episode(recorded: Opened) -> None:
    data = Data(with_episodes(recorded, [e._replace(number=e.number + 500) for e in all_of(recorded)]))
    found = inspect(data, demos.simulate_again(data, Watching())).findings
    [said] = [f for f in found if f.check == "replay"]
    assert said.severity is Severity.NOTE
    assert said.episode is None


def test_episodes_of_an_arm_need_no_seeds_and_no_starts(recorded: Opened) -> None:
    episodes = [e._replace(seeds=None, start=np.zeros(0)) for e in all_of(recorded)]
    opened = with_episodes(recorded, episodes)
    opened = opened._replace(lineage=opened.lineage.model_copy(update={"start_axes": ()}))
    data = Data(opened)
    assert demos.simulate_again(data, Watching()) == {}
    found = inspect(data, {}, demos.candidates(data))
    assert found.clean
    cover = found.content["coverage"]
    assert not cover["known"]
    assert [axis["name"] for axis in cover["axes"]][:3] == ["tool position x", "tool position y", "tool position z"]
    assert len(cover["next"]) == 5
    assert {start["sequence"] for start in cover["next"]} == {None}


@pytest.mark.filterwarnings("ignore")
def test_a_truncated_file_costs_its_own_episodes(recorded: Opened, tmp_path: Path, capfd) -> None:
    path, episodes = tmp_path / "cut", all_of(recorded)
    write(path, recorded.lineage, episodes[:6])
    append_episode(path, episodes[6])
    append_episode(path, episodes[7])
    *_, middle, _ = sorted((path / "data").rglob("*.parquet"))
    middle.write_bytes(middle.read_bytes()[:-500])
    opened = open_dataset(path)
    assert sorted(opened.episodes) == [0, 1, 2, 3, 4, 5, 7]
    assert [(d.episode, d.lost) for d in opened.damage] == [(6, True)]
    assert main(["demos", "inspect", str(path), "--out", str(tmp_path / "out"), "--no-replay"]) == 1
    assert "bad  files: episode 6: lost: data/" in capfd.readouterr().out
    content = json.loads((tmp_path / "out" / "inspection.json").read_text())
    assert content["counts"]["readable"] == 7
    assert main(["demos", "merge", str(path), "--out", str(tmp_path / "merged")]) == 2
    assert "take what is whole with 'rlaas demos clean'" in capfd.readouterr().err
    assert main(["demos", "clean", str(path), "--out", str(tmp_path / "whole"), "--no-replay"]) == 0
    assert len(read_dataset(tmp_path / "whole", opened.contract)) == 7
    assert main(["demos", "clean", str(path), "--out", str(tmp_path / "whole"), "--no-replay"]) == 2
    assert main(["demos", "inspect", str(path), "--out", str(path)]) == 2
    (path / "meta" / "rlaas.json").unlink()
    assert main(["demos", "inspect", str(path), "--out", str(tmp_path / "out")]) == 2


@pytest.mark.filterwarnings("ignore")
def test_cleaning_leaves_out_and_cuts_and_says_why(recorded: Opened, tmp_path: Path) -> None:
    bad = spoilt(spoilt(recorded, "teleport", (3,)), "idle_tail", (11,))
    path = tmp_path / "bad"
    write(path, bad.lineage, all_of(bad))
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    demos.clean(path, tmp_path / "cleaned", DEFAULT_RULES, True, False, watch := Watching())
    assert all(file.read_bytes() == content for file, content in before.items())
    again = read_dataset(tmp_path / "cleaned", recorded.contract)
    good = all_of(recorded)
    del good[3]
    assert [len(e.action) for e in again[:10]] == [len(e.action) for e in good[:10]]
    assert len(good[10].action) <= len(again[10].action) <= len(good[10].action) + 4
    made = read_lineage(tmp_path / "cleaned").made
    assert [line.split(" (")[0].split(" to ")[0] for line in made.left_out] == ["episode 3 left out", "episode 11 cut"]
    assert list(made.left_out) == [line.strip() for line in watch.lines]
    assert made.parents[0].made.by == "a test"
    assert demos.look(tmp_path / "cleaned", Watching())[1].clean


@pytest.mark.filterwarnings("ignore")
def test_what_can_be_simulated_again_is_mended_to_the_bit(recorded: Opened, tmp_path: Path, capfd) -> None:
    bad = recorded
    for index, kind in enumerate(("frozen_sensor", "shifted_timestamps", "wrong_label", "teleport", "nan")):
        bad = spoilt(bad, kind, (index,))
    bad = spoilt(bad, "clipped_actions", (7,))
    path, out = tmp_path / "bad", tmp_path / "mended"
    write(path, bad.lineage, all_of(bad))
    assert main(["demos", "clean", str(path), "--out", str(out), "--mend"]) == 0
    episodes = read_dataset(out, recorded.contract)
    good = all_of(recorded)
    del good[7]
    told = read_lineage(out).made.left_out
    lost = [] if "episode 4 simulated again" in told[4] else [4]  # a NaN of an action cannot be mended
    assert [line.split(" (")[0] for line in told[:4]] == [f"episode {i} simulated again" for i in range(4)]
    assert "episode 7 left out" in told[5]
    for one, other in zip(episodes, [e for i, e in enumerate(good) if i not in lost], strict=True):
        np.testing.assert_array_equal(one.observation, other.observation)
        np.testing.assert_array_equal(one.reward, other.reward)
        np.testing.assert_allclose(one.stamp_s, other.stamp_s, atol=1e-6)
        assert (one.success, one.peak_force_N) == (other.success, pytest.approx(other.peak_force_N))
    assert demos.look(out, Watching())[1].clean
    with pytest.raises(SystemExit):
        main(["demos", "clean", str(path), "--out", str(out), "--mend", "--no-replay"])
    assert "not allowed with" in capfd.readouterr().err


def test_rules_are_taken_by_name(recorded: Opened) -> None:
    bad = spoilt(spoilt(recorded, "teleport", (3,)), "wrong_label", (5,))
    findings = inspect(Data(bad), {}).findings
    kept, lines = edit.clean(bad, findings, ["label"])
    assert [one.episode for one in kept] == [i for i in range(EPISODES) if i != 5]
    assert len(lines) == 1
    with pytest.raises(InputError, match="did you mean 'kinematics'"):
        edit.clean(bad, findings, ["kinematic"])


@pytest.mark.filterwarnings("ignore")
def test_parts_are_put_together_again(recorded: Opened, tmp_path: Path, capfd) -> None:
    one, two, both = (tmp_path / name for name in ("one", "two", "both"))
    arguments = ["--share", "0.7", "--seed", "3", "--out", str(one), "--rest", str(two)]
    assert main(["demos", "split", str(recorded.path), *arguments]) == 0
    parts = [read_dataset(path, recorded.contract) for path in (one, two)]
    numbers = [[e.number for e in part] for part in parts]
    assert sorted([*numbers[0], *numbers[1]]) == list(range(EPISODES))
    failures = sum(not e.success for e in all_of(recorded))
    assert len(numbers[0]) == round(0.7 * (EPISODES - failures)) + round(0.7 * failures)
    assert main(["demos", "merge", str(one), str(two), "--out", str(both)]) == 0
    merged = read_dataset(both, recorded.contract)
    for a, b in zip(merged, [*parts[0], *parts[1]]):
        np.testing.assert_array_equal(a.observation, b.observation)
    assert [parent.name for parent in read_lineage(both).made.parents] == ["one", "two"]
    lineage = recorded.lineage.model_copy(update={"cell": {**recorded.lineage.cell, "name": "other"}, "cell_hash": "0"})
    with pytest.raises(InputError, match="name: peg_insertion here, other there"):
        edit.same_kind([recorded, recorded._replace(lineage=lineage)])
    assert main(["demos", "merge", str(one), str(two), "--out", str(one)]) == 2
    assert "name another --out" in capfd.readouterr().err


@pytest.mark.filterwarnings("ignore")
def test_a_label_is_put_right_with_a_reason(recorded: Opened, tmp_path: Path) -> None:
    said = ["--episode", "2", "--success", "false", "--because", "it jammed", "--out", str(tmp_path / "new")]
    assert main(["demos", "relabel", str(recorded.path), *said]) == 0
    assert not read_dataset(tmp_path / "new", recorded.contract)[2].success
    assert read_lineage(tmp_path / "new").made.left_out == ("episode 2 relabelled a failure: it jammed",)
    with pytest.raises(InputError, match="name one of 0 to 29"):
        edit.relabel(recorded, [30], True, "")


@pytest.mark.timeout(600)  # lerobot-train takes long to start
@pytest.mark.filterwarnings("ignore")
def test_plain_lerobot_trains_on_it(recorded: Opened, tmp_path: Path) -> None:
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    plain = tmp_path / "plain"
    assert main(["demos", "export", str(recorded.path), "--to", "lerobot", "--out", str(plain)]) == 0
    dataset = LeRobotDataset(repo_id="local/plain", root=plain, video_backend="pyav")
    frames = [dataset[i] for i in range(dataset.num_frames)]
    assert len(frames) == sum(len(e.action) for e in all_of(recorded))
    np.testing.assert_array_equal(frames[7]["action"], recorded.episodes[0].action[7])
    assert not any(name.startswith("complementary_info") for name in frames[0])
    tiny = "chunk_size=5 n_action_steps=5 dim_model=32 n_heads=2 dim_feedforward=32 n_encoder_layers=1 latent_dim=4"
    options = [f"--policy.{option}" for option in tiny.split()]
    told = f"dataset.repo_id=local/plain dataset.root={plain} dataset.video_backend=pyav policy.type=act steps=3"
    told += " policy.push_to_hub=false policy.device=cpu policy.pretrained_backbone_weights=null batch_size=8"
    told += f" num_workers=0 wandb.enable=false output_dir={tmp_path / 'act'}"
    command = [str(Path(sys.executable).with_name("lerobot-train")), *(f"--{option}" for option in told.split())]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert list((tmp_path / "act").rglob("model.safetensors"))


def test_mcap_holds_what_the_dataset_holds(recorded: Opened, tmp_path: Path) -> None:
    from mcap.reader import make_reader
    from mcap_ros2.decoder import DecoderFactory

    small = with_episodes(recorded, all_of(recorded)[:2])
    from robot_rlaas.data.export import to_mcap

    to_mcap(small, tmp_path / "bags", lambda: None)
    files = sorted((tmp_path / "bags").glob("*.mcap"))
    assert [file.name for file in files] == ["episode_0.mcap", "episode_1.mcap"]
    with files[1].open("rb") as file:
        read = make_reader(file, decoder_factories=[DecoderFactory()])
        said = [(m.log_time, r) for _, _, m, r in read.iter_decoded_messages(["/observation/force"])]
    episode = small.episodes[1]
    force = recorded.contract.unpack(episode.observation)["force"]
    np.testing.assert_allclose([[r.x, r.y, r.z] for _, r in said], force)
    np.testing.assert_allclose([t for t, _ in said], episode.stamp_s * 1e9)
    assert said[3][1].header.frame_id == "task"


@pytest.mark.filterwarnings("ignore")
def test_cameras_that_blur_darken_freeze_or_end(recorded: Opened, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    texture = rng.integers(0, 255, (96, 400, 3)).astype(np.uint8).repeat(2, axis=1)
    texture = np.ascontiguousarray(texture)

    def filmed(episode: Episode) -> Episode:
        short = episode.take(slice(0, 30))
        taken = np.stack([texture[:64, 8 * t + 20 : 8 * t + 84] for t in range(30)])
        return short._replace(pictures={"wrist": taken})

    from bench.defects import CAMERA

    episodes = [filmed(e) for e in all_of(recorded)[:10]]
    for i, defect in zip((2, 4, 6), CAMERA.values()):
        episodes[i] = defect(episodes[i], Scene(recorded.contract, recorded.lineage.spec.control, [], rng))
    path = tmp_path / "filmed"
    write(path, recorded.lineage, episodes[:9], cameras={"wrist": (64, 64)})
    append_episode(path, episodes[9])
    last = sorted(path.rglob("*.mp4"))[-1]
    last.write_bytes(last.read_bytes()[:300])
    found = inspect(Data(open_dataset(path)), {}).findings
    said = {(f.episode, f.check) for f in found if f.check in ("blur", "exposure", "camera_frozen", "pictures")}
    assert {(2, "blur"), (4, "exposure"), (6, "camera_frozen"), (9, "pictures")} <= said
    assert {episode for episode, _ in said} == {2, 4, 6, 9}
    demos.clean(path, tmp_path / "cleaned", ["blur", "exposure", "camera_frozen", "pictures"], False, False, Watching())
    again = open_dataset(tmp_path / "cleaned")
    assert len(again.episodes) == 6
    assert again.cameras == {"wrist": (64, 64)}


def test_runs_and_outliers_by_hand() -> None:
    assert longest_run(np.array([1, 0, 1, 1, 0, 1], bool)) == (2, 2)
    assert longest_run(np.zeros(3, bool)) == (0, 0)
    assert outlying([1, 2, 3, 2, 1, 3, 20], least=1.0).tolist() == [False] * 6 + [True]
    assert not outlying([1, 2, 3, 2, 1, 3, 20], least=30.0).any()


def test_the_next_starts_are_the_farthest_from_all_others() -> None:
    axes = [Axis("x", "mm", 0, 0.0, 10.0, 1000.0, True), Axis("bias", "mm", 1, 0.0, 1.0, 1000.0, False)]
    starts = np.array([[0.001, 0.0], [0.005, 0.0], [0.010, 0.0], [0.0095, 0.0]])
    candidates = Candidates(Seeds(5, Space.DEMONSTRATE), np.array([3, 4, 5, 6]), starts)
    found = next_starts(axes, np.array([[0.0, 0.5]]), candidates)
    assert [start["number"] for start in found] == [5, 4, 3, 6]
    np.testing.assert_allclose([start["distance"] for start in found], [1.0, 0.5, 0.1, 0.05])
    assert found[0]["text"] == "x +10.0 mm"
    assert found[0]["start"] == {"x": 10.0, "bias": 0.0}
    first = next_starts(axes, np.zeros((0, 2)), candidates)[0]
    assert (first["number"], first["distance"]) == (3, None)


def test_every_check_is_run_once() -> None:
    assert len(set(CHECKS)) == len(CHECKS)
    assert set(DEFAULT_RULES) < set(RULES)
