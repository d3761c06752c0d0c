"""`rlaas demos`: its commands and their options."""

import argparse

from robot_rlaas.options import add_cell, add_command, add_group, add_path, add_recipe, add_seed, count, run_stage


def demos_commands(commands) -> None:
    """Add the group to the parser."""
    group = add_group(commands, "demos", "Demonstrations.", "rlaas demos generate peg_insertion --out demos")
    example = "rlaas demos generate peg_insertion --episodes 100 --out runs/first/demonstrations"
    generate = add_command(group, "generate", "Record scripted demonstrations (LeRobotDataset v3).", example, _generate)
    add_cell(generate)
    generate.add_argument("--episodes", type=count, help="(default: the recipe's)")
    add_recipe(generate)
    add_seed(generate)
    add_path(generate, "--out", "the dataset to write")


def _generate(options: argparse.Namespace) -> int:
    from robot_rlaas.learn.recipe import load_recipe

    recipe = load_recipe(options.recipe)
    if options.episodes:
        recipe = recipe.model_copy(update={"demonstrations": options.episodes})
    return run_stage(lambda p, watch: p.demonstrate(options.cell, recipe, options.seed, options.out, watch))
