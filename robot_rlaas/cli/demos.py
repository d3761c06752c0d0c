"""`rlaas demos`: its commands and their options."""

import argparse
from pathlib import Path

from robot_rlaas.cli.demos_edit import edit_commands
from robot_rlaas.cli.options import (
    add_cell,
    add_command,
    add_group,
    add_line,
    add_path,
    add_plant,
    add_recipe,
    add_seed,
    add_simulator,
    chosen_recipe,
    count,
    line_of,
    natural,
    run_stage,
    share,
)


def demos_commands(commands) -> None:
    """Add the group to the parser."""
    group = add_group(commands, "demos", "Demonstrations.", "rlaas demos generate peg_insertion --out demos")
    example = "rlaas demos generate peg_insertion --episodes 100 --out runs/first/demonstrations"
    generate = add_command(group, "generate", "Record scripted demonstrations (LeRobotDataset v3).", example, _generate)
    add_cell(generate)
    generate.add_argument("--episodes", type=count, help="(default: the recipe's)")
    add_recipe(generate)
    add_seed(generate)
    add_simulator(generate)
    add_path(generate, "--out", "the dataset to write")
    _record_command(group)
    _augment_command(group)
    _import_command(group)
    edit_commands(group)


def _record_command(group) -> None:
    text = "Demonstrate on a page in the browser, on this machine only, until Ctrl-C. What is kept is on disk at once."
    example = "rlaas demos record peg_insertion --arm virtual --episodes 20 --operator anna --out anna"
    record = add_command(group, "record", text, example, _record)
    add_cell(record)
    add_path(record, "--out", "the dataset: a new one, or one of this cell, which goes on")
    record.add_argument("--episodes", type=count, default=10, help="successes that are wanted (default: 10)")
    record.add_argument("--operator", default="operator", help="who demonstrates, as the dataset notes it")
    record.add_argument("--policy", help="acts until somebody takes over; what it may be: see 'rlaas qualify --help'")
    device = "one of LeRobot's teleoperators, such as gamepad or so101_leader, beside the page"
    record.add_argument("--device", metavar="NAME", help=device)
    text = "an option of the device, such as port=/dev/ttyACM0; may be given more than once"
    record.add_argument("--device-option", metavar="KEY=VALUE", action="append", default=[], help=text)
    text = "a ROS 2 topic of velocities, Twist or TwistStamped, such as /spacenav/twist"
    record.add_argument("--twist", metavar="TOPIC", help=text)
    text = "of ROS 2 (default: ROS_DOMAIN_ID; of a virtual arm: a random one, so name it to be heard by --twist)"
    record.add_argument("--domain-id", type=natural, help=text)
    text = "record at an arm, over ROS 2 and under its supervisor (default: in simulation)"
    record.add_argument("--arm", choices=("virtual", "real"), help=text)
    add_plant(record)
    add_line(record, "--arm-port")
    record.add_argument("--port", type=count, default=8080, help="of the page, or the next free one (default: 8080)")
    add_seed(record)
    text = "numbers of the seed's starts that come first, such as those that 'rlaas demos inspect' wants next"
    record.add_argument("--starts", type=natural, nargs="+", default=[], metavar="N", help=text)


def _augment_command(group) -> None:
    text = "Make many demonstrations of a few: what they did, done again at new starts. Only what succeeds is kept."
    augment = add_command(group, "augment", text, "rlaas demos augment anna --episodes 500 --out many", _augment)
    augment.add_argument("dataset", type=Path, metavar="DIR", help="the few: a dataset that 'rlaas demos' wrote")
    augment.add_argument("--episodes", type=count, default=500, help="successes that are wanted (default: 500)")
    augment.add_argument("--tries", type=count, help="attempts at most (default: 5 for each that is wanted)")
    text = "injected into what is done, not into what is taught: at most so much of an action (default: 0.2)"
    augment.add_argument("--noise", type=share, default=0.2, metavar="SHARE", help=text)
    add_seed(augment)
    add_path(augment, "--out", "the dataset to write")


def _import_command(group) -> None:
    text = "Make a dataset of what policies saw and did in deployments, an episode per attempt."
    example = "rlaas demos import runs/first/deployment --cell peg_insertion --out deployed"
    logs = add_command(group, "import", text, example, _import)
    logs.add_argument("logs", type=Path, nargs="+", metavar="LOG", help="a deployment's folder, or its log.mcap")
    logs.add_argument("--cell", required=True, help="the cell that was deployed: a shipped one, or a path")
    add_path(logs, "--out", "the dataset to write")


def _generate(options: argparse.Namespace) -> int:
    recipe = chosen_recipe(options)
    if options.episodes:
        recipe = recipe.model_copy(update={"demonstrations": options.episodes})
    o = options
    return run_stage(lambda p, watch: p.demonstrate(o.cell, recipe, o.seed, o.out, watch, o.simulator))


def _record(options: argparse.Namespace) -> int:
    o, line = options, line_of(options)

    def work(_, watch):
        from robot_rlaas.jobs.growing import Settings
        from robot_rlaas.jobs.recording import record

        hands = (o.device, tuple(o.device_option), o.twist, o.domain_id, o.arm, o.plant, tuple(o.starts), line)
        return record(o.cell, Settings(o.episodes, o.operator, o.seed, o.policy, o.port, *hands), o.out, watch)

    return run_stage(work)


def _import(options: argparse.Namespace) -> int:
    def work(p, watch):
        from robot_rlaas.jobs.demos_import import from_logs

        return from_logs(options.logs, p.Cell.load(options.cell), options.out, watch)

    return run_stage(work)


def _augment(options: argparse.Namespace) -> int:
    o = options

    def work(_, watch):
        from robot_rlaas.jobs.demos import augment

        return augment(o.dataset, o.episodes, o.tries or 5 * o.episodes, o.noise, o.seed, o.out, watch)

    return run_stage(work)
