"""`rlaas train`: one training, or a sweep of many short ones."""

import argparse

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cli.options import (
    add_cell,
    add_command,
    add_device,
    add_path,
    add_recipe,
    add_seed,
    add_simulator,
    add_track,
    chosen_recipe,
    count,
    run_stage,
)


def train_command(commands) -> None:
    """Add the command."""
    example = (
        "rlaas train peg_insertion --demos runs/first/demonstrations --out runs/first/policy --track; "
        "or, for a better recipe: rlaas train peg_insertion --demos runs/first/demonstrations --out sweep --sweep 20, "
        "then --recipe sweep/recipe.yaml"
    )
    parser = add_command(commands, "train", "Clone demonstrations and improve by PPO.", example, _train)
    add_cell(parser)
    add_path(parser, "--demos", "a dataset from 'rlaas demos generate'")
    add_path(parser, "--out", "the policy directory to write; of a sweep, the one that it is kept in")
    add_recipe(parser)
    add_seed(parser)
    add_device(parser)
    add_simulator(parser)
    text = "go on with an interrupted training, from what it left beside --out: the same comes out, to the bit"
    parser.add_argument("--resume", action="store_true", help=text)
    parser.set_defaults(interrupted="; once PPO has begun, the same command with --resume goes on")
    add_track(parser)
    text = "tune the recipe in so many short trainings, those that are already in --out included"
    parser.add_argument("--sweep", type=count, metavar="TRIALS", help=text)
    text = "of a sweep: what it varies, a shipped file of policies/sweeps or a path (default: default)"
    parser.add_argument("--space", help=text)
    text = "of a sweep: environment steps of PPO per trial (default: what the space says)"
    parser.add_argument("--trial-steps", type=count, metavar="STEPS", help=text)


def _train(options: argparse.Namespace) -> int:
    if options.sweep:
        return _sweep(options)
    if options.space or options.trial_steps:
        raise InputError("--space and --trial-steps are of a sweep", fix="add --sweep TRIALS, or leave them out")
    o, recipe = options, chosen_recipe(options)

    def work(_, watch):
        from robot_rlaas.cell.spec import load_cell
        from robot_rlaas.jobs.tracking import tracked
        from robot_rlaas.jobs.training import train
        from robot_rlaas.qualify.report import CostMeter

        with tracked(o.track, load_cell(o.cell), recipe, o.seed, o.device, str(o.out), watch) as record:
            if record:
                record.demonstrations(o.demos)
            meter = CostMeter()
            given = o.cell, o.demos, recipe, o.seed, o.device, o.out, watch
            result = train(*given, follow=record, resume=o.resume, simulator=o.simulator)
            if record:
                record.stage("train", o.out, **meter.read(), result=result.text)
        return result

    return run_stage(work)


def _sweep(options: argparse.Namespace) -> int:
    o = options
    if o.track:
        raise InputError("--track: not together with --sweep, which keeps its own record in --out", fix="leave it out")
    if o.simulator != "cpu":
        raise InputError("--simulator: not together with --sweep, whose trials run on the CPU", fix="leave it out")
    recipe, o.interrupted = chosen_recipe(o), "; finished trials are kept: the same command goes on"

    def work(_, watch):
        from robot_rlaas.jobs.tuning import Options, sweep
        from robot_rlaas.learn.sweep import load_sweep

        space = load_sweep(o.space or "default")
        if o.trial_steps:
            space = space.model_copy(update={"budget_steps": o.trial_steps})
        return sweep(Options(o.cell, o.demos, recipe, space, o.sweep, o.seed, o.device, o.out), watch)

    return run_stage(work)
