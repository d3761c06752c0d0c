"""`rlaas improve`: train where a policy fails, until it passes."""

import argparse

from robot_rlaas.cli.options import add_cell, add_command, add_path, add_seed, count, run_stage, share


def improve_command(commands) -> None:
    """Add the command."""
    example = "rlaas improve peg_insertion --policy runs/first/policy --out runs/first/improved --rounds 3"
    text = "Qualify, train where it fails, qualify on fresh episodes: until every requirement passes."
    parser = add_command(commands, "improve", text, example, _improve)
    add_cell(parser)
    add_path(parser, "--policy", "the policy directory to begin with")
    parser.add_argument("--rounds", type=count, default=3, help="at most (default: 3)")
    budget = "control periods simulated for learning over all rounds (default: the recipe's, each round)"
    parser.add_argument("--budget-steps", type=count, metavar="N", help=budget)
    begun = "of a training's episodes that begin where the policy is likely to fail; 0 is plain PPO (default: 0.5)"
    parser.add_argument("--share", type=share, default=0.5, help=begun)
    parser.add_argument("--episodes", type=count, default=1000, help="of each qualification (default: 1000)")
    parser.add_argument("--recipe", default="tune", help="of each training: a shipped one, or a path (default: tune)")
    add_seed(parser)
    add_path(parser, "--out", "gets a directory per round and improve.json; what is finished there is kept")
    parser.set_defaults(interrupted="; the same command goes on")


def _improve(options: argparse.Namespace) -> int:
    o = options

    def work(_, watch):
        from robot_rlaas.jobs.improvement import Options, improve
        from robot_rlaas.learn.recipe import load_recipe

        recipe = load_recipe(o.recipe)
        budget = o.budget_steps or o.rounds * recipe.budget_steps
        return improve(Options(o.cell, o.policy, recipe, o.rounds, budget, o.share, o.episodes, o.seed, o.out), watch)

    return run_stage(work)
