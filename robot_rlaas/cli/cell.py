"""`rlaas cell ...`: while a cell file is written, and to see what it says."""

import argparse
import sys
from pathlib import Path
from typing import Any

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cli.options import DONE, add_cell, add_command, add_group, add_path, add_seed, count, run_stage

PARTS = {"part": ["square", "round"]}
QUESTIONS = {  # fields of new_cell.Answers
    "arm": (str, "arm"),
    "tool": (str, "tool that holds the peg"),
    "part": (str, "section of the peg"),
    "width_mm": (float, "width or diameter of the peg, mm"),
    "length_mm": (float, "how far the peg stands out of the fingers, mm"),
    "clearance_mm": (float, "room between peg and hole, mm per side"),
    "at_mm": (float, "where the hole is, mm from the arm's base"),
    "success": (float, "rate of parts that must succeed"),
    "cycle_time_s": (float, "95 % of the parts are done within, s"),
    "force_N": (float, "95 % of the contact forces stay below, N"),
}
SAME, DIFFERENT = 0, 1  # as diff has it
WIDE = 160  # columns of a table that goes into a file or a pipe


def cell_commands(commands) -> None:
    """Add the group to the `rlaas` command."""
    group = add_group(commands, "cell", "Look at cells.", "rlaas cell check peg_insertion")
    text = "Prove what can be proven before training."
    check = add_command(group, "check", text, "rlaas cell check my_cell.yaml", _check)
    add_cell(check)

    text = "Draw the cell: as a picture, where its parts can be, as a film, as a page in 3D."
    show = add_command(group, "show", text, "rlaas cell show peg_insertion --out cell.png --video cell.mp4", _show)
    add_cell(show)
    add_path(show, "--out", "a PNG: the cell, above four starts", required=False)
    add_path(show, "--sheet", "a PNG: twelve starts, where the parts can be", required=False)
    add_path(show, "--cameras", "a PNG: what the cell's cameras see at six starts", required=False)
    add_path(show, "--video", "an MP4: the scripted expert", required=False)
    show.add_argument("--web", action="store_true", help="a page in 3D, on this machine only, until Ctrl-C")
    show.add_argument("--port", type=count, default=8080, help="of the page, or the next free one (default: 8080)")
    add_seed(show)

    text = "What differs in meaning, and what follows from it. Exit code 0: nothing; 1: something."
    diff = add_command(group, "diff", text, "rlaas cell diff peg_insertion my_cell.yaml", _diff)
    for name in ("a", "b"):
        diff.add_argument(name, metavar=name.upper(), help="a shipped cell's name, or the path of a cell file")

    text = "Write a cell file for your own insertion; asks, where there is a terminal, for what is not given."
    new = add_command(group, "new", text, "rlaas cell new my_cell --arm ur10e --width-mm 20", _new)
    new.add_argument("name", metavar="NAME", help="lower-case letters, digits and underscores")
    for option, (kind, question) in QUESTIONS.items():
        many = {"nargs": 3, "metavar": ("X", "Y", "Z")} if option == "at_mm" else {"choices": PARTS.get(option)}
        new.add_argument(f"--{option.replace('_', '-')}", type=kind, help=question.replace("%", "%%"), **many)
    new.add_argument("--hardware", help="the arm's profile (default: the one with the arm's name)")
    add_path(new, "--out", "the file to write (default: NAME.yaml)", required=False)

    text = "JSON Schema of cell files, for editors."
    schema = add_command(group, "schema", text, "rlaas cell schema --out cell.schema.json", _schema)
    add_path(schema, "--out", "the JSON file to write (default: print it)", required=False)

    add_command(group, "list", "List the shipped cells.", "rlaas cell list", _list)


def _check(options: argparse.Namespace) -> int:
    return run_stage(lambda pipeline, watch: pipeline.check(options.cell, None, watch))


def _show(options: argparse.Namespace) -> int:
    o = options
    if not (o.out or o.sheet or o.cameras or o.video or o.web):
        raise InputError("nothing to show", fix="name --out, --sheet, --cameras, --video or --web")

    def work(pipeline, watch):
        from robot_rlaas.jobs.cells import Views, show

        views = Views(o.out, o.sheet, o.cameras, o.video, o.port if o.web else None)
        return show(pipeline.Cell.load(o.cell), views, o.seed, watch)

    return run_stage(work)


def _diff(options: argparse.Namespace) -> int:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    from robot_rlaas.jobs.cells import compare_cells

    found = compare_cells(options.a, options.b)
    if not found.differences:
        return SAME
    console = Console(highlight=False, markup=False)
    table = Table("key", f"A: {Path(options.a).stem}", f"B: {Path(options.b).stem}", box=SIMPLE_HEAD, pad_edge=False)
    for key, *values in found.differences:
        table.add_row(key, *(_value(value) for value in values))
    console.print(table, width=console.width if console.is_terminal else WIDE)
    for sentence in found.consequences:
        console.print(f"- {sentence}", soft_wrap=True)
    return DIFFERENT


def _value(value: object) -> str:
    """As a cell file has it."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return f"[{', '.join(_value(item) for item in value)}]"
    return "-" if value is None else str(value)


def _new(options: argparse.Namespace) -> int:
    from robot_rlaas.jobs.new_cell import Answers, write_cell

    answers = {}
    for name, (kind, question) in QUESTIONS.items():
        given, default = getattr(options, name), Answers._field_defaults[name]
        if given is None:
            given = _ask(name, kind, question, default) if sys.stdin.isatty() else default
        answers[name] = tuple(given) if isinstance(given, list) else given
    out = options.out or Path(f"{options.name}.yaml")
    write_cell(options.name, Answers(**answers, hardware=options.hardware or answers["arm"]), out)
    print(f"{out}\nnext: rlaas cell show {out} --out cell.png; rlaas run {out}")
    return DONE


def _ask(name: str, kind: type, question: str, default: Any) -> Any:
    from rich.prompt import FloatPrompt, Prompt

    if isinstance(default, tuple):
        return [FloatPrompt.ask(f"{question}: {axis}", default=value) for axis, value in zip("xyz", default)]
    prompt = FloatPrompt if kind is float else Prompt
    return prompt.ask(question, choices=PARTS.get(name), default=default)


def _schema(options: argparse.Namespace) -> int:
    import json

    from robot_rlaas.cell.schema import json_schema
    from robot_rlaas.files import write_json

    if options.out is None:
        print(json.dumps(json_schema(), indent=1))
    else:
        write_json(options.out, json_schema())
        print(options.out)
    return DONE


def _list(options: argparse.Namespace) -> int:
    from robot_rlaas.assets import data_dir
    from robot_rlaas.cell.spec import load_cell

    for path in sorted((data_dir("sim_assets") / "cells").glob("*.yaml")):
        print(f"{path.stem:<24} {load_cell(str(path)).description}")
    return DONE
