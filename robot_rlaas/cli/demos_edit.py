"""`rlaas demos`: the commands that look at datasets and make new ones of them."""

import argparse
from collections.abc import Callable
from pathlib import Path

from robot_rlaas.cli.options import add_command, add_path, add_seed, natural, run_stage
from robot_rlaas.data.quality.rules import DEFAULT_RULES, RULES


def edit_commands(group) -> None:
    """Add them to the group."""
    _inspect_command(group)
    _clean_command(group)
    text = "One dataset of several of the same cell."
    merge = add_command(group, "merge", text, "rlaas demos merge monday tuesday --out both", _merge)
    merge.add_argument("datasets", nargs="+", type=Path, metavar="DIR", help="the datasets, in their order")
    add_path(merge, "--out", "the dataset to write")
    text = "Two datasets of one, by whole episodes, successes and failures in equal shares."
    split = add_command(group, "split", text, "rlaas demos split demos --share 0.8 --out train --rest test", _split)
    _add_dataset(split)
    split.add_argument("--share", type=_share, default=0.8, help="of the episodes that go to --out (default: 0.8)")
    add_seed(split)
    add_path(split, "--out", "the dataset with this share")
    add_path(split, "--rest", "the dataset with the others")
    text = "The dataset with another outcome for some episodes, and why."
    example = "rlaas demos relabel demos --episode 7 --success false --because 'it jammed' --out relabelled"
    relabel = add_command(group, "relabel", text, example, _relabel)
    _add_dataset(relabel)
    relabel.add_argument("--episode", type=natural, nargs="+", required=True, help="as 'rlaas demos inspect' counts")
    relabel.add_argument("--success", choices=("true", "false"), required=True, help="what they are from now on")
    relabel.add_argument("--because", required=True, help="the reason, which the new dataset keeps")
    add_path(relabel, "--out", "the dataset to write")
    text = "The dataset for other tools: plain LeRobot, or a directory with one MCAP file per episode."
    export = add_command(group, "export", text, "rlaas demos export demos --to mcap --out bags", _export)
    _add_dataset(export)
    export.add_argument("--to", choices=("lerobot", "mcap"), required=True, help="the format")
    add_path(export, "--out", "the directory to write")


def _inspect_command(group) -> None:
    text = "What is good, what is bad and why, and what is missing. Exit code 1: something should not be learned from."
    inspect = add_command(group, "inspect", text, "rlaas demos inspect demos --out inspection", _inspect)
    _add_dataset(inspect)
    add_path(inspect, "--out", "where inspection.html and inspection.json go (default: DIR_inspection)", required=False)
    _add_replay(inspect)


def _clean_command(group) -> None:
    text = "A new dataset without what nothing should learn from. Every reason stands in it; nothing is deleted."
    clean = add_command(
        group, "clean", text, "rlaas demos clean demos --out cleaned --rule label --rule frozen", _clean
    )
    _add_dataset(clean)
    add_path(clean, "--out", "the dataset to write")
    help_text = "a finding that counts, instead of the default ones; can be given several times"
    clean.add_argument("--rule", action="append", metavar="NAME", help=help_text)
    either = clean.add_mutually_exclusive_group()
    help_text = "keep what succeeds when it is simulated again, as it goes then, instead of leaving it out"
    either.add_argument("--mend", action="store_true", help=help_text)
    _add_replay(either)
    rows = [f"  {name:15} {'*' if name in DEFAULT_RULES else ' '} {text}" for name, text in RULES.items()]
    clean.formatter_class = argparse.RawDescriptionHelpFormatter
    clean.epilog = "\n".join([str(clean.epilog), "", "rules (* by default):", *rows])


def _add_dataset(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", type=Path, metavar="DIR", help="a dataset that 'rlaas demos' wrote")


def _add_replay(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--no-replay", dest="replay", action="store_false", help="do not simulate the episodes again")


def _share(text: str) -> float:
    value = float(text)
    if not 0.0 < value < 1.0:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def _run(work: Callable) -> int:
    def stage(_, watch):
        from robot_rlaas.jobs import demos

        return work(demos, watch)

    return run_stage(stage)


def _inspect(options: argparse.Namespace) -> int:
    out = options.out or options.dataset.with_name(f"{options.dataset.resolve().name}_inspection")
    return _run(lambda demos, watch: demos.inspect(options.dataset, out, options.replay, watch))


def _clean(options: argparse.Namespace) -> int:
    o, rules = options, tuple(options.rule or DEFAULT_RULES)
    return _run(lambda demos, watch: demos.clean(o.dataset, o.out, rules, o.replay, o.mend, watch))


def _merge(options: argparse.Namespace) -> int:
    return _run(lambda demos, watch: demos.merge(options.datasets, options.out, watch))


def _split(options: argparse.Namespace) -> int:
    o = options
    return _run(lambda demos, watch: demos.split(o.dataset, o.share, o.seed, o.out, o.rest, watch))


def _relabel(options: argparse.Namespace) -> int:
    o, success = options, options.success == "true"
    return _run(lambda demos, watch: demos.relabel(o.dataset, o.episode, success, o.because, o.out, watch))


def _export(options: argparse.Namespace) -> int:
    return _run(lambda demos, watch: demos.export(options.dataset, options.to, options.out, watch))
