"""The whole circle in one command: every stage in order, each finished one kept for `--resume`."""

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from robot_rlaas import __version__
from robot_rlaas.cell.kinds import deployable, insertion_only
from robot_rlaas.cell.spec import load_cell
from robot_rlaas.jobs import calibration, pipeline, qualification, training
from robot_rlaas.jobs.ledger import Entry, Ledger, key_of
from robot_rlaas.jobs.overview import overview
from robot_rlaas.jobs.pipeline import Result, Watch
from robot_rlaas.qualify.claims import Plan

if TYPE_CHECKING:
    from robot_rlaas.bundle.keys import PrivateKey
    from robot_rlaas.jobs.tracking import Tracked
    from robot_rlaas.learn.recipe import Recipe

ON_ARM = ("bundle", "deploy", "calibrate")  # stages that not every cell has
HELD_OUT = 0.1  # episodes per held-out factor, of those within the ranges


class Options(NamedTuple):
    """What a run is made of.

    Attributes:
        cell: shipped name or path.
        recipe: of the training.
        seed: of everything that is drawn.
        device: of the network: "auto", "cpu" or "cuda".
        episodes: of the qualification.
        attempts: on the virtual arm.
        plant: of the virtual arm.
        out: the run's directory.
        resume: keep the stages that are finished for these very inputs; an interrupted training goes on.
        key: signs the bundle, and is the one that the deployment trusts; needed from the bundle on.
        until: the last stage, by name.
    """

    cell: str
    recipe: "Recipe"
    seed: int
    device: str
    episodes: int
    attempts: int
    plant: str
    out: Path
    resume: bool
    key: "PrivateKey | None" = None
    until: str = "calibrate"


class _Stage(NamedTuple):
    name: str
    artefact: str
    inputs: tuple
    work: Callable[[], Result]
    needs_ros: bool = False


def run(
    options: Options, watch: Watch, begin: Callable[[str, int, int], None], record: "Tracked | None" = None
) -> bool:
    """Run all stages and write index.html.

    Args:
        options: what to run.
        watch: gets lines and bars.
        begin: hears of each stage before it starts: its name, its number and how many there are.
        record: gets the curves of the training, and what each stage cost and left.

    Returns:
        Whether every requirement passed.
    """
    from robot_rlaas.pages.overview import Stage
    from robot_rlaas.qualify.report import CostMeter

    if options.until in ON_ARM:
        deployable(load_cell(options.cell))
    if options.until == "calibrate":
        insertion_only(load_cell(options.cell))
    options.out.mkdir(parents=True, exist_ok=True)
    ledger, rows, key, passed = Ledger(options.out), [], key_of(__version__), True
    cost = [0.0, 0.0]
    stages = _stages(options, watch, record)
    stages = stages[: 1 + [stage.name for stage in stages].index(options.until)]
    for number, stage in enumerate(stages, 1):
        key = key_of(key, stage.name, stage.inputs)
        begin(stage.name, number, len(stages))
        if stage.needs_ros and find_spec("rclpy") is None:
            text = "left out: ROS 2 is not installed (pip install 'robot_rlaas[ros]')"
            watch.say(f"  {text}")
            rows.append(Stage(stage.name, "skipped", None, None, None, text))
            continue
        entry = ledger.find(stage.name, key) if options.resume else None
        kept = entry is not None and (options.out / stage.artefact).exists()
        if entry is None or not kept:
            ledger.forget(stage.name)
            meter = CostMeter()
            result = stage.work()
            spent = meter.read()
            entry = Entry(key, spent["wall_s"], spent["core_s"], result.text, result.passed)
            ledger.write(stage.name, entry)
        watch.say(f"  {entry.result} ({'kept' if kept else f'{entry.wall_s:.0f} s'})")
        if record:
            record.stage(stage.name, options.out / stage.artefact, entry.wall_s, entry.core_s, entry.result)
        passed = passed and entry.passed
        status = "reused" if kept else "done"
        rows.append(Stage(stage.name, status, entry.wall_s, entry.core_s, stage.artefact, entry.result))
        cost = [cost[0] + entry.wall_s, cost[1] + entry.core_s]
    page = overview(options.out, load_cell(options.cell), options.seed, rows, (cost[0], cost[1]))
    watch.say(f"report: {page}")
    return passed


def _stages(o: Options, watch: Watch, record: "Tracked | None") -> list[_Stage]:
    out, spec = o.out, load_cell(o.cell)
    recipe = json.loads(o.recipe.model_dump_json())
    demonstrations, policy, bundle = out / "demonstrations", out / "policy", out / "bundle"
    signer = o.key.public.fingerprint if o.key else ""
    judged, plan = out / "qualification", Plan(o.episodes, sequential=False, held_out=round(HELD_OUT * o.episodes))
    demonstration_inputs = (o.seed, recipe["demonstrations"], recipe["demonstration_noise"])
    return [
        _Stage("check", "cell", (spec.hash,), lambda: pipeline.check(o.cell, out / "cell", watch)),
        _Stage(
            "demonstrate",
            "demonstrations",
            demonstration_inputs,
            lambda: pipeline.demonstrate(o.cell, o.recipe, o.seed, demonstrations, watch),
        ),
        _Stage(
            "train",
            "policy",
            (recipe, o.device),
            lambda: training.train(
                *(o.cell, demonstrations, o.recipe, o.seed, o.device, policy, watch), follow=record, resume=o.resume
            ),
        ),
        _Stage(
            "qualify",
            "qualification",
            tuple(plan),
            lambda: qualification.qualify(o.cell, policy, o.seed, plan, judged, watch),
        ),
        _Stage(
            "bundle", "bundle", (signer,), lambda: pipeline.build_bundle(policy, judged / "report.json", bundle, o.key)
        ),
        _Stage(
            "deploy",
            "deployment/deployment.json",
            (o.attempts, o.plant),
            lambda: _deploy(o, bundle, watch),
            needs_ros=True,
        ),
        _Stage(
            "calibrate",
            "calibration",
            (o.plant,),
            lambda: calibration.calibrate(o.cell, out / "calibration", o.plant, "virtual", o.seed, watch)._replace(
                passed=True
            ),  # a calibration is no requirement of the cell
            needs_ros=True,
        ),
    ]


def _deploy(o: Options, bundle: Path, watch: Watch) -> Result:
    """On the virtual arm. Only what this run signed may drive it."""
    from robot_rlaas.bundle import Trust

    trust = Trust((o.key.public,) if o.key else ())
    return pipeline.deploy(bundle, o.out / "deployment", o.attempts, o.plant, "virtual", o.seed, None, trust, watch)
