"""The `rlaas` command. Heavy imports happen inside the commands: `--help` must not pay for them."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from robot_rlaas import __version__
from robot_rlaas.cell.errors import InputError, StageError

STAGES = ("check", "demonstrate", "train", "qualify", "bundle", "deploy", "calibrate")
DONE, REQUIREMENT_FAILS, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0: done, or every requirement passes. 1: it ran, and a requirement fails or stays undecided, or a stage broke
        off. 2: bad input.
        130: interrupted; `rlaas run --resume` goes on.
    """
    options = _parser().parse_args(arguments)
    try:
        return options.command(options)
    except InputError as error:
        print(f"rlaas: {error}", file=sys.stderr)
        return BAD_INPUT
    except StageError as error:
        print(f"rlaas: {error}", file=sys.stderr)
        return REQUIREMENT_FAILS
    except KeyboardInterrupt:
        kept = "; finished stages are kept: 'rlaas run CELL --resume' goes on" if options.command is _run else ""
        print(f"\nrlaas: interrupted{kept}", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rlaas",
        description="From a cell file to a qualified policy on the arm.",
        epilog="example: rlaas run peg_insertion --out runs/first",
    )
    parser.add_argument("--version", action="version", version=f"rlaas {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _cell_commands(commands)
    _demos_commands(commands)
    _train_command(commands)
    _qualify_command(commands)
    _compare_command(commands)
    _bundle_commands(commands)
    _deploy_command(commands)
    _calibrate_commands(commands)
    _loop_command(commands)
    _run_command(commands)
    return parser


def _add(commands, name: str, text: str, example: str, command: Callable[[argparse.Namespace], int] | None = None):
    parser = commands.add_parser(name, help=text, description=text, epilog=f"example: {example}")
    if command is not None:
        parser.set_defaults(command=command)
    return parser


def _cell_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("cell", metavar="CELL", help="a shipped cell's name, or the path of a cell file")


def _path(parser: argparse.ArgumentParser, flag: str, text: str, required: bool = True) -> None:
    parser.add_argument(flag, type=Path, required=required, metavar="PATH", help=text)


def _count(text: str) -> int:
    value = _natural(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is less than 1")
    return value


def _natural(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value} is negative")
    return value


def _seed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=_natural, default=0, help="of everything that is drawn (default: 0)")


def _recipe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--recipe", default="default", help="a shipped training recipe, or a path (default: default)")


def _device(parser: argparse.ArgumentParser) -> None:
    text = "of the network; the simulation runs on the CPU, and so does a small network: auto is cpu"
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help=text)


def _arm(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--arm", choices=("virtual", "real"), default="virtual", help="(default: virtual)")
    parser.add_argument("--plant", default="ur5e_worn", help="how the virtual arm differs from the nominal one")


def _cell_commands(commands) -> None:
    group = _add(commands, "cell", "Look at cells.", "rlaas cell check peg_insertion").add_subparsers(
        required=True, metavar="COMMAND"
    )
    check = _add(group, "check", "Prove what can be proven before training.", "rlaas cell check my_cell.yaml", _check)
    _cell_argument(check)
    show = _add(group, "show", "Draw the cell.", "rlaas cell show peg_insertion --out cell.png", _show)
    _cell_argument(show)
    _path(show, "--out", "the PNG to write")
    _add(group, "list", "List the shipped cells.", "rlaas cell list", _list)


def _demos_commands(commands) -> None:
    group = _add(commands, "demos", "Demonstrations.", "rlaas demos generate peg_insertion --out demos").add_subparsers(
        required=True, metavar="COMMAND"
    )
    example = "rlaas demos generate peg_insertion --episodes 100 --out runs/first/demonstrations"
    generate = _add(group, "generate", "Record scripted demonstrations (LeRobotDataset v3).", example, _generate)
    _cell_argument(generate)
    generate.add_argument("--episodes", type=_count, help="(default: the recipe's)")
    _recipe(generate)
    _seed(generate)
    _path(generate, "--out", "the dataset to write")


def _train_command(commands) -> None:
    example = "rlaas train peg_insertion --demos runs/first/demonstrations --out runs/first/policy"
    parser = _add(commands, "train", "Clone demonstrations and improve by PPO.", example, _train)
    _cell_argument(parser)
    _path(parser, "--demos", "a dataset from 'rlaas demos generate'")
    _path(parser, "--out", "the policy directory to write")
    _recipe(parser)
    _seed(parser)
    _device(parser)


ATTEMPTS, BUDGET, HELD_OUT, FIRST = 30, 4000, 100, 0.7
POLICY = "a policy directory, a bundle, an .onnx file, an SB3 zip, a LeRobot policy, 'expert' or module:attribute"


def _qualify_command(commands) -> None:
    example = "rlaas qualify peg_insertion --policy runs/first/policy --out runs/first/qualification"
    parser = _add(commands, "qualify", "A verdict on every requirement, from fresh episodes.", example, _qualify)
    _cell_argument(parser)
    parser.add_argument("--policy", required=True, help=POLICY)
    _path(parser, "--out", "where report.json, report.html, report.xml and failures.json go", required=False)
    parser.add_argument("--episodes", type=_count, help="run exactly so many (default: until every verdict stands)")
    parser.add_argument("--budget", type=_count, help="without --episodes: at most so many (default: 4000)")
    parser.add_argument("--held-out", type=_natural, help="episodes per held-out factor (default: 100)")
    parser.add_argument("--sensitivity", type=_natural, help="episodes per point of the curves (default: none)")
    text = f"judge a bundle on an arm, in --episodes attempts (default: {ATTEMPTS}) that stay in OUT/deployment"
    parser.add_argument("--arm", choices=("virtual", "real"), help=text)
    parser.add_argument("--plant", default="ur5e_worn", help="how the virtual arm differs from the nominal one")
    parser.add_argument("--reproduce", type=Path, metavar="REPORT", help="run this report.json's qualification again")
    _seed(parser)


def _compare_command(commands) -> None:
    example = "rlaas compare runs/first/policy runs/second/policy expert --cell peg_insertion"
    parser = _add(
        commands, "compare", "Which differences between policies are real, on the same starts.", example, _compare
    )
    parser.add_argument(
        "policies", nargs="+", metavar="POLICY", help=f"{POLICY}; the first is compared with the others"
    )
    parser.add_argument("--cell", required=True, help="a shipped cell's name, or the path of a cell file")
    parser.add_argument("--episodes", type=_count, default=500, help="common starts (default: 500)")
    parser.add_argument("--every-pair", action="store_true", help="also compare the others among themselves")
    _path(parser, "--out", "a JSON file to write", required=False)
    _seed(parser)


def _bundle_commands(commands) -> None:
    group = _add(commands, "bundle", "What goes to the robot.", "rlaas bundle verify runs/first/bundle").add_subparsers(
        required=True, metavar="COMMAND"
    )
    example = "rlaas bundle build --policy runs/first/policy --report runs/first/qualification/report.json --out bundle"
    build = _add(group, "build", "Pack a policy with its contract, limits and report.", example, _build)
    _path(build, "--policy", "a policy directory")
    _path(build, "--report", "its qualification report", required=False)
    build.add_argument("--cell", help="the cell it is to run in, if not the one it was trained in")
    _path(build, "--out", "the bundle to write")
    for name, text, command in (("verify", "Check every byte.", _verify), ("show", "What is inside.", _show_bundle)):
        parser = _add(group, name, text, f"rlaas bundle {name} runs/first/bundle", command)
        parser.add_argument("bundle", type=Path, metavar="BUNDLE")


def _deploy_command(commands) -> None:
    example = "rlaas deploy runs/first/bundle --attempts 10 --out runs/first/deployment"
    parser = _add(commands, "deploy", "Let a bundle drive an arm over ROS 2.", example, _deploy)
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.add_argument("--attempts", type=_count, default=10, help="(default: 10)")
    parser.add_argument("--domain-id", type=int, help="ROS domain of a virtual arm (default: a random one)")
    _arm(parser)
    _seed(parser)
    _path(parser, "--out", "where deployment.json and log.mcap go")


def _calibrate_commands(commands) -> None:
    example = "rlaas calibrate arm peg_insertion --out runs/first/calibration"
    group = _add(commands, "calibrate", "Find out how an arm differs from the nominal one.", example).add_subparsers(
        required=True, metavar="COMMAND"
    )
    arm = _add(group, "arm", "Move the arm, fit its log, judge the fit on a second one.", example, _calibrate)
    _cell_argument(arm)
    _arm(arm)
    _seed(arm)
    _path(arm, "--out", "where calibration.yaml and the logs go")

    example = "rlaas calibrate excite peg_insertion --arm real --out logs"
    excite = _add(group, "excite", "Only move the arm, and keep the logs.", example, _excite)
    _cell_argument(excite)
    _arm(excite)
    _seed(excite)
    _path(excite, "--out", "where fit.mcap and held_out.mcap go")

    example = "rlaas calibrate import run.csv --columns my_columns.yaml --hardware ur10e --out run.parquet"
    bring = _add(group, "import", "Make a motion log of a CSV, Parquet, LeRobot or MCAP log.", example, _import)
    bring.add_argument("log", type=Path, metavar="LOG")
    _hardware(bring)
    _columns(bring)
    bring.add_argument("--episode", type=_natural, default=0, help="of a LeRobot dataset (default: 0)")
    _path(bring, "--out", "the .parquet file to write")

    text = "Fit logs: with --hardware, motor currents to dynamics, friction and gains; with --cell, commands to servos."
    example = "rlaas calibrate fit run.parquet --hardware ur10e --loaded carrying.parquet --load-kg 5 --out drives"
    fit = _add(group, "fit", text, example, _fit)
    fit.add_argument(
        "logs", nargs="+", type=Path, metavar="LOG", help="with --hardware, the end of the first one is only judged on"
    )
    fit.add_argument("--hardware", metavar="ARM", help="a shipped hardware profile, or a path: fit motor currents")
    fit.add_argument("--cell", metavar="CELL", help="a cell: fit what the arm did under its commands (MCAP)")
    _columns(fit)
    fit.add_argument("--loaded", type=Path, nargs="+", default=[], metavar="LOG", help="logs with a load on the flange")
    fit.add_argument("--load-kg", type=float, metavar="KG", help="its mass, if known: it tells gains and masses apart")
    fit.add_argument("--first", type=float, help="share of the first log that is fitted (default: 0.7)")
    fit.add_argument("--heldout", type=Path, metavar="LOG", help="with --cell: the log to judge on")
    fit.add_argument("--before", type=Path, metavar="PATH", help="the calibration to beat (default: the published arm)")
    _path(fit, "--out", "the directory to write")

    example = "rlaas calibrate predict drives other.parquet --out currents.csv"
    predict = _add(group, "predict", "Foretell the motor currents of a motion.", example, _predict)
    predict.add_argument("calibration", type=Path, metavar="CALIBRATION", help="a drive.yaml, or its directory")
    predict.add_argument("log", type=Path, metavar="LOG")
    _columns(predict)
    predict.add_argument(
        "--payload",
        metavar="NAME",
        help="load on the flange: the name, without ending, of the log that it was fitted with",
    )
    predict.add_argument("--last", type=float, default=1.0, help="share of the log, at its end (default: 1)")
    _path(predict, "--out", "the CSV file to write")

    example = "rlaas calibrate board --out recording/board.pdf"
    board = _add(group, "board", "Draw a ChArUco board to print, and board.yaml beside it.", example, _board)
    _path(board, "--board", "a board.yaml (default: 10 x 7 squares of 25 mm, A4)", required=False)
    board.add_argument("--dpi", type=_count, default=600, help="(default: 600)")
    _path(board, "--out", "the PNG or PDF to write")

    example = "rlaas calibrate camera recording --mount hand --out calibration"
    camera = _add(group, "camera", "A camera's lens and pose, from pictures of a board.", example, _camera)
    camera.add_argument("folder", type=Path, metavar="FOLDER", help="pictures, board.yaml and poses.csv or poses.yaml")
    camera.add_argument("--mount", choices=("hand", "base"), required=True, help="on the wrist, or fixed in the cell")
    _path(camera, "--out", "where camera.yaml and camera.png go")

    example = "rlaas calibrate drift peg_insertion --calibration calibration.yaml --state drift.json logs/day_1.mcap"
    text = "Watch production logs: is it still the arm that was calibrated? Exit code 1 when it no longer is."
    drift = _add(group, "drift", text, example, _drift)
    _cell_argument(drift)
    drift.add_argument("logs", nargs="+", type=Path, metavar="LOG", help="MCAP files, in the order of recording")
    _path(drift, "--calibration", "the calibration.yaml of this arm")
    _path(drift, "--state", "the watch, kept from call to call, and its picture beside it", required=False)

    example = "rlaas calibrate contact peg_insertion deployment/log.mcap --out contact"
    text = "What deployments say of the cell: where holes were, friction, the wrist sensor's noise."
    contact = _add(group, "contact", text, example, _contact)
    _cell_argument(contact)
    contact.add_argument("logs", nargs="+", type=Path, metavar="LOG", help="log.mcap of 'rlaas deploy'")
    _path(contact, "--out", "where contact.yaml goes")


def _hardware(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--hardware", required=True, metavar="ARM", help="a shipped hardware profile, or a path")


def _columns(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--columns", metavar="MAP", help="what a table's columns mean: a shipped map's name, or a path")


def _loop_command(commands) -> None:
    example = "rlaas loop peg_insertion --policy runs/first/policy --out runs/first/loop"
    text = "Deploy, log, calibrate, judge again, keep or tune: until the policy passes on the arm as it is."
    parser = _add(commands, "loop", text, example, _loop)
    _cell_argument(parser)
    _path(parser, "--policy", "a policy directory")
    parser.add_argument("--turns", type=_count, default=3, help="at most (default: 3)")
    parser.add_argument("--attempts", type=_count, default=10, help="on the arm, each turn (default: 10)")
    parser.add_argument(
        "--budget", type=_count, default=BUDGET, help="episodes of a qualification, at most (default: 4000)"
    )
    _arm(parser)
    parser.add_argument("--recipe", default="tune", help="of a tuning: a shipped one, or a path (default: tune)")
    _seed(parser)
    _path(parser, "--out", "gets a directory per turn; finished turns that are there are kept")


def _run_command(commands) -> None:
    example = "rlaas run peg_insertion --seed 1 --out runs/first --resume"
    parser = _add(commands, "run", "Every stage, from the cell file to the report.", example, _run)
    _cell_argument(parser)
    parser.add_argument("--resume", action="store_true", help="keep stages that are finished for the same inputs")
    _seed(parser)
    _device(parser)
    _recipe(parser)
    parser.add_argument("--episodes", type=_count, default=1000, help="of the qualification (default: 1000)")
    parser.add_argument("--attempts", type=_count, default=10, help="on the virtual arm (default: 10)")
    parser.add_argument("--plant", default="ur5e_worn", help="how the virtual arm differs from the nominal one")
    parser.add_argument("--until", choices=STAGES, default=STAGES[-1], help="the last stage to run (default: all)")
    _path(parser, "--out", "the run's directory (default: runs/CELL)", required=False)


def _check(options: argparse.Namespace) -> int:
    return _stage(lambda pipeline, watch: pipeline.check(options.cell, None, watch))


def _show(options: argparse.Namespace) -> int:
    from robot_rlaas.progress import watching

    with watching() as watch:
        from robot_rlaas import pipeline

        path = pipeline.show(pipeline.Cell.load(options.cell), options.out, watch)
        if path is None:
            return REQUIREMENT_FAILS
        watch.say(f"{path}")
    return DONE


def _list(options: argparse.Namespace) -> int:
    from robot_rlaas.assets import data_dir
    from robot_rlaas.cell.spec import load_cell

    for path in sorted((data_dir("sim_assets") / "cells").glob("*.yaml")):
        print(f"{path.stem:<24} {load_cell(str(path)).description}")
    return DONE


def _generate(options: argparse.Namespace) -> int:
    from robot_rlaas.learn.recipe import load_recipe

    recipe = load_recipe(options.recipe)
    if options.episodes:
        recipe = recipe.model_copy(update={"demonstrations": options.episodes})
    return _stage(lambda p, watch: p.demonstrate(options.cell, recipe, options.seed, options.out, watch))


def _train(options: argparse.Namespace) -> int:
    from robot_rlaas.learn.recipe import load_recipe

    recipe = load_recipe(options.recipe)
    return _stage(
        lambda p, watch: p.train(options.cell, options.demos, recipe, options.seed, options.device, options.out, watch)
    )


def _qualify(options: argparse.Namespace) -> int:
    o = options
    if o.arm:
        return _qualify_on_arm(o)
    if (o.reproduce is None) == (o.out is None):
        raise InputError("name either --out, for a new report, or --reproduce, for an old one")

    def work(_, watch):
        from robot_rlaas import qualification
        from robot_rlaas.qualify.claims import Plan

        if o.reproduce:
            return qualification.reproduce(o.cell, o.policy, o.reproduce, watch)
        held_out = HELD_OUT if o.held_out is None else o.held_out
        plan = Plan(o.episodes or o.budget or BUDGET, o.episodes is None, held_out, o.sensitivity or 0)
        return qualification.qualify(o.cell, o.policy, o.seed, plan, o.out, watch)

    return _stage(work)


def _qualify_on_arm(o: argparse.Namespace) -> int:
    flags = {"--reproduce": o.reproduce, "--budget": o.budget, "--held-out": o.held_out, "--sensitivity": o.sensitivity}
    given = [flag for flag, value in flags.items() if value is not None]
    if given:
        fix = "leave it out; --episodes says how many attempts are made"
        raise InputError(f"{', '.join(given)}: not together with --arm", fix=fix)
    if o.out is None:
        raise InputError("name --out, for the attempts and their report")
    from robot_rlaas.on_arm import ask, qualify_on_arm

    watch, confirm = _Lines(), ask if o.arm == "real" and sys.stdin.isatty() else None
    attempts, bundle = o.episodes or ATTEMPTS, Path(o.policy)
    result = qualify_on_arm(o.cell, bundle, o.seed, attempts, o.arm, o.plant, confirm, o.out, watch)
    watch.say(result.text)
    return DONE if result.passed else REQUIREMENT_FAILS


class _Lines:
    """A `pipeline.Watch` without a bar, which would be drawn over what an operator types."""

    def say(self, text: str) -> None:
        """See `pipeline.Watch`."""
        print(text, flush=True)

    def bar(self, text: str, done: float, total: float) -> None:
        """See `pipeline.Watch`."""


def _compare(options: argparse.Namespace) -> int:
    o = options

    def work(_, watch):
        from robot_rlaas.qualification import compare_policies

        return compare_policies(o.cell, o.policies, o.seed, o.episodes, o.every_pair, o.out, watch)

    return _stage(work)


def _build(options: argparse.Namespace) -> int:
    o = options
    return _stage(lambda p, watch: p.build_bundle(o.policy, o.report, o.out, o.cell))


def _verify(options: argparse.Namespace) -> int:
    from robot_rlaas.bundle import load_bundle

    bundle = load_bundle(options.bundle)
    print(f"{bundle.manifest['name']}: every file is as it was built, sha256 {bundle.sha256}")
    return DONE


def _show_bundle(options: argparse.Namespace) -> int:
    from robot_rlaas.bundle import load_bundle

    bundle = load_bundle(options.bundle)
    print(f"{bundle.manifest['name']}  for cell {bundle.cell.name} ({bundle.cell.hash[:12]})")
    for side, features in (("sees", bundle.contract.observation), ("does", bundle.contract.action)):
        for f in features:
            print(f"  {side}  {f.name} [{', '.join(f.axes)}] {f.unit}, frame {f.frame}, {f.low:g} to {f.high:g}")
    for row in (bundle.report or {}).get("requirements", []):
        print(f"  {row['verdict']:<9} {row['name']}: {row['value']}, limit {row['limit']}")
    if bundle.report is None:
        print("  not qualified")
    return DONE


def _deploy(options: argparse.Namespace) -> int:
    o = options
    return _stage(lambda p, watch: p.deploy(o.bundle, o.out, o.attempts, o.plant, o.arm, o.seed, o.domain_id, watch))


def _calibrate(options: argparse.Namespace) -> int:
    o = options
    return _calibration(lambda c, watch: c.calibrate(o.cell, o.out, o.plant, o.arm, o.seed, watch))


def _excite(options: argparse.Namespace) -> int:
    o = options
    return _calibration(lambda c, watch: c.excite(o.cell, o.out, o.plant, o.arm, o.seed, watch))


def _import(options: argparse.Namespace) -> int:
    o = options
    return _calibration(lambda c, watch: c.import_log(o.log, o.hardware, o.columns, o.episode, o.out, watch))


def _fit(options: argparse.Namespace) -> int:
    o = options
    if (o.hardware is None) == (o.cell is None):
        raise InputError("name either --hardware, to fit motor currents, or --cell, to fit commands")
    others = {"--heldout": o.heldout} if o.hardware else {
        "--loaded": o.loaded, "--load-kg": o.load_kg, "--first": o.first, "--before": o.before, "--columns": o.columns
    }  # fmt: skip
    given = [flag for flag, value in others.items() if value]
    if given:
        raise InputError(f"{', '.join(given)}: not together with {'--hardware' if o.hardware else '--cell'}")
    if o.hardware:
        return _calibration(
            lambda c, watch: c.fit_currents(
                o.hardware, o.logs, o.loaded, o.load_kg, o.columns, o.first or FIRST, o.before, o.out, watch
            )
        )
    if len(o.logs) != 1 or o.heldout is None:
        raise InputError("with --cell, one log is fitted and one is judged on", fix="fit LOG --heldout OTHER")
    return _calibration(lambda c, watch: c.fit_logs(o.cell, o.logs[0], o.heldout, o.out, watch))


def _predict(options: argparse.Namespace) -> int:
    o = options
    return _calibration(
        lambda c, watch: c.predict_currents(o.calibration, o.log, o.columns, o.payload, o.last, o.out, watch)
    )


def _board(options: argparse.Namespace) -> int:
    return _calibration(lambda c, _: c.draw_board(options.board, options.dpi, options.out))


def _camera(options: argparse.Namespace) -> int:
    return _calibration(lambda c, watch: c.camera(options.folder, options.mount, options.out, watch))


def _drift(options: argparse.Namespace) -> int:
    o = options
    return _calibration(lambda c, watch: c.watch_drift(o.cell, o.calibration, o.logs, o.state, watch))


def _contact(options: argparse.Namespace) -> int:
    o = options
    return _calibration(lambda c, watch: c.contact(o.cell, o.logs, o.out, watch))


def _loop(options: argparse.Namespace) -> int:
    def work(_, watch):
        from robot_rlaas.learn.recipe import load_recipe
        from robot_rlaas.loop import Options, loop

        o = options
        recipe = load_recipe(o.recipe)
        return loop(
            Options(o.cell, o.policy, recipe, o.turns, o.attempts, o.budget, o.arm, o.plant, o.seed, o.out), watch
        )

    return _stage(work)


def _calibration(work: Callable) -> int:
    def run(_, watch):
        from robot_rlaas import calibration

        return work(calibration, watch)

    return _stage(run)


def _run(options: argparse.Namespace) -> int:
    from robot_rlaas.cell.spec import load_cell
    from robot_rlaas.learn.recipe import load_recipe
    from robot_rlaas.progress import watching
    from robot_rlaas.run import Options, run

    recipe, name = load_recipe(options.recipe), load_cell(options.cell).name
    out = options.out or Path("runs") / name
    o = options
    settings = Options(o.cell, recipe, o.seed, o.device, o.episodes, o.attempts, o.plant, out, o.resume, o.until)
    with watching() as watch:
        passed = run(settings, watch, watch.begin)
    return DONE if passed else REQUIREMENT_FAILS


def _stage(work: Callable) -> int:
    from robot_rlaas.progress import watching

    with watching() as watch:
        from robot_rlaas import pipeline

        result = work(pipeline, watch)
        watch.say(result.text)
    return DONE if result.passed else REQUIREMENT_FAILS


if __name__ == "__main__":
    sys.exit(main())
