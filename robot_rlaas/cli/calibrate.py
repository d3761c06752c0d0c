"""`rlaas calibrate`: its commands and their options."""

import argparse
from collections.abc import Callable
from pathlib import Path

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cli.options import (
    add_arm,
    add_cell,
    add_command,
    add_group,
    add_line,
    add_path,
    add_seed,
    count,
    line_of,
    natural,
    run_stage,
)

FIRST = 0.7  # share of the first log that is fitted


def calibrate_commands(commands) -> None:
    """Add the group to the parser."""
    example = "rlaas calibrate arm peg_insertion --out runs/first/calibration"
    group = add_group(commands, "calibrate", "Find out how an arm differs from the nominal one.", example)
    _move_commands(group)
    _press_command(group)
    _import_command(group)
    _fit_command(group)
    _predict_command(group)
    _camera_commands(group)
    _drift_command(group)
    _contact_command(group)


def _move_commands(group) -> None:
    for name, text, command, gets in (
        (
            "arm",
            "Move the arm, fit its log, judge on a second one.",
            _calibrate,
            "calibration.yaml and the logs",
        ),
        ("excite", "Only move the arm, and keep the logs.", _excite, "fit.mcap and held_out.mcap"),
    ):
        parser = add_command(group, name, text, f"rlaas calibrate {name} peg_insertion --arm real --out logs", command)
        add_cell(parser)
        add_arm(parser)
        add_line(parser)
        add_seed(parser)
        add_path(parser, "--out", f"where {gets} go")


def _press_command(group) -> None:
    example = "rlaas calibrate press peg_insertion --arm real --out press"
    text = "Press the tip gently onto the plate: its height and tilt, friction, what the wrist states at rest."
    parser = add_command(group, "press", text, example, _press)
    add_cell(parser)
    add_arm(parser)
    add_line(parser)
    add_seed(parser)
    parser.add_argument("--force-N", type=float, default=8.0, metavar="N", help="felt, and then no more (default: 8)")
    text = "searched above and below where the plate should be (default: 5)"
    parser.add_argument("--depth-mm", type=float, default=5.0, metavar="MM", help=text)
    add_path(parser, "--out", "where press.mcap and contact.yaml go")


def _import_command(group) -> None:
    example = "rlaas calibrate import run.csv --columns my_columns.yaml --hardware ur10e --out run.parquet"
    parser = add_command(
        group, "import", "Make a motion log of a CSV, Parquet, LeRobot, MCAP or rosbag2 log.", example, _import
    )
    parser.add_argument("log", type=Path, metavar="LOG")
    _hardware(parser)
    _columns(parser)
    parser.add_argument("--episode", type=natural, default=0, help="of a LeRobot dataset (default: 0)")
    add_path(parser, "--out", "the .parquet file to write")


def _fit_command(group) -> None:
    text = "Fit logs: with --hardware, motor currents to dynamics, friction and gains; with --cell, commands to servos."
    example = "rlaas calibrate fit run.parquet --hardware ur10e --loaded carrying.parquet --load-kg 5 --out drives"
    parser = add_command(group, "fit", text, example, _fit)
    parser.add_argument(
        "logs", nargs="+", type=Path, metavar="LOG", help="with --hardware, the end of the first one is only judged on"
    )
    parser.add_argument("--hardware", metavar="ARM", help="a shipped hardware profile, or a path: fit motor currents")
    parser.add_argument("--cell", metavar="CELL", help="a cell: fit what the arm did under its commands (MCAP)")
    _columns(parser)
    parser.add_argument(
        "--loaded", type=Path, nargs="+", default=[], metavar="LOG", help="logs with a load on the flange"
    )
    parser.add_argument(
        "--load-kg", type=float, metavar="KG", help="its mass, if known: it tells gains and masses apart"
    )
    parser.add_argument("--first", type=float, help="share of the first log that is fitted (default: 0.7)")
    parser.add_argument("--heldout", type=Path, metavar="LOG", help="with --cell: the log to judge on")
    parser.add_argument(
        "--before", type=Path, metavar="PATH", help="the calibration to beat (default: the published arm)"
    )
    add_path(parser, "--out", "the directory to write")


def _predict_command(group) -> None:
    example = "rlaas calibrate predict drives other.parquet --out currents.csv"
    parser = add_command(group, "predict", "Foretell the motor currents of a motion.", example, _predict)
    parser.add_argument("calibration", type=Path, metavar="CALIBRATION", help="a drive.yaml, or its directory")
    parser.add_argument("log", type=Path, metavar="LOG")
    _columns(parser)
    parser.add_argument(
        "--payload",
        metavar="NAME",
        help="load on the flange: the name, without ending, of the log that it was fitted with",
    )
    parser.add_argument("--last", type=float, default=1.0, help="share of the log, at its end (default: 1)")
    add_path(parser, "--out", "the CSV file to write")


def _camera_commands(group) -> None:
    example = "rlaas calibrate board --out recording/board.pdf"
    board = add_command(group, "board", "Draw a ChArUco board to print, and board.yaml beside it.", example, _board)
    add_path(board, "--board", "a board.yaml (default: 10 x 7 squares of 25 mm, A4)", required=False)
    board.add_argument("--dpi", type=count, default=600, help="(default: 600)")
    add_path(board, "--out", "the PNG or PDF to write")

    example = "rlaas calibrate camera recording --mount hand --out calibration"
    camera = add_command(group, "camera", "A camera's lens and pose, from pictures of a board.", example, _camera)
    camera.add_argument("folder", type=Path, metavar="FOLDER", help="pictures, board.yaml and poses.csv or poses.yaml")
    camera.add_argument("--mount", choices=("hand", "base"), required=True, help="on the wrist, or fixed in the cell")
    add_path(camera, "--out", "where camera.yaml and camera.png go")


def _drift_command(group) -> None:
    example = "rlaas calibrate drift peg_insertion --calibration calibration.yaml --state drift.json logs/day_1.mcap"
    text = "Watch production logs: is it still the arm that was calibrated? Exit code 1 when it no longer is."
    parser = add_command(group, "drift", text, example, _drift)
    add_cell(parser)
    parser.add_argument("logs", nargs="+", type=Path, metavar="LOG", help="MCAP files, in any order")
    add_path(parser, "--calibration", "the calibration.yaml of this arm")
    add_path(parser, "--state", "the watch, kept from call to call, and its picture beside it", required=False)


def _contact_command(group) -> None:
    example = "rlaas calibrate contact peg_insertion deployment/log.mcap --out contact"
    text = "What deployments and a press say of the cell: where holes and plate were, friction, the wrist's noise."
    parser = add_command(group, "contact", text, example, _contact)
    add_cell(parser)
    parser.add_argument("logs", nargs="+", type=Path, metavar="LOG", help="log.mcap of 'rlaas deploy', press.mcap")
    add_path(parser, "--out", "where contact.yaml goes")


def _hardware(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--hardware", required=True, metavar="ARM", help="a shipped hardware profile, or a path")


def _columns(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--columns", metavar="MAP", help="what a table's columns mean: a shipped map's name, or a path")


def _calibrate(options: argparse.Namespace) -> int:
    o, line = options, line_of(options)
    return _calibration(lambda c, watch: c.calibrate(o.cell, o.out, o.plant, o.arm, o.seed, watch, line))


def _excite(options: argparse.Namespace) -> int:
    o, line = options, line_of(options)
    return _calibration(lambda c, watch: c.excite(o.cell, o.out, o.plant, o.arm, o.seed, watch, line))


def _press(options: argparse.Namespace) -> int:
    o, line = options, line_of(options)
    arm = (o.plant, o.arm, o.seed)
    return _calibration(lambda c, watch: c.press(o.cell, o.out, *arm, o.force_N, o.depth_mm, watch, line))


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


def _calibration(work: Callable) -> int:
    def run(_, watch):
        from robot_rlaas.jobs import calibration

        return work(calibration, watch)

    return run_stage(run)
