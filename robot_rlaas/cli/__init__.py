"""The command `rlaas`: one file per group of subcommands."""

from robot_rlaas.cli.app import main

__all__ = ["main"]
