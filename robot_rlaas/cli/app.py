"""The `rlaas` command. Heavy imports happen inside the commands: `--help` must not pay for them."""

import argparse
import sys
from collections.abc import Sequence

from robot_rlaas import __version__
from robot_rlaas.cell.errors import InputError, StageError
from robot_rlaas.cli.bundle import bundle_commands
from robot_rlaas.cli.calibrate import calibrate_commands
from robot_rlaas.cli.cell import cell_commands
from robot_rlaas.cli.demos import demos_commands
from robot_rlaas.cli.deploy import deploy_command, loop_command
from robot_rlaas.cli.distill import distill_command
from robot_rlaas.cli.improve import improve_command
from robot_rlaas.cli.options import BAD_INPUT, INTERRUPTED, REQUIREMENT_FAILS
from robot_rlaas.cli.practise import practise_command
from robot_rlaas.cli.qualify import compare_command, qualify_command
from robot_rlaas.cli.run import run_command
from robot_rlaas.cli.train import train_command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0: done, or every requirement passes. 1: it ran, and a requirement fails or stays undecided, or a stage broke
        off. 2: bad input. 130: interrupted; what goes on from there is said.
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
        print(f"\nrlaas: interrupted{getattr(options, 'interrupted', '')}", file=sys.stderr)
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="rlaas",
        description="From a cell file to a qualified policy on the arm.",
        epilog="example: rlaas run peg_insertion --out runs/first",
    )
    parser.add_argument("--version", action="version", version=f"rlaas {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    cell_commands(commands)
    demos_commands(commands)
    train_command(commands)
    practise_command(commands)
    distill_command(commands)
    qualify_command(commands)
    compare_command(commands)
    bundle_commands(commands)
    deploy_command(commands)
    calibrate_commands(commands)
    improve_command(commands)
    loop_command(commands)
    run_command(commands)
    return parser
