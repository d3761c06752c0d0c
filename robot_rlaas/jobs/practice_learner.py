"""The learner's own process beside the arm: `python -m robot_rlaas.jobs.practice_learner --params FILE`.

It takes the attempts that appear in the practice's folder, learns, and puts down the network that is to act, whole or
not at all. Nothing waits for it. SIGINT and SIGTERM end it: then it leaves the policy.

Parameters: those of `practising.Options`, and sequences, where the parts came from.
"""

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.spec import load_cell
from robot_rlaas.data.attempts import kept
from robot_rlaas.deploy.run import BAD_INPUT
from robot_rlaas.files import write_atomic, write_json
from robot_rlaas.jobs.practising import KEEP_S, Options, begin, leave, save
from robot_rlaas.learn.practice_recipe import PracticeRecipe

AT_ONCE = 20  # updates between two looks at the folder
AGAIN_S = 0.05  # between two looks with nothing to do
NEW_EVERY = 100  # updates between two networks
NICE = 10  # the arm's processes come first


class Quiet:
    """A watch that prints what stays."""

    def say(self, text: str) -> None:
        """See `pipeline.Watch`."""
        print(text, flush=True)

    def bar(self, text: str, done: float, total: float) -> None:
        """See `pipeline.Watch`."""


def run(options: Options, sequences: list[dict]) -> None:
    """Learn until somebody ends it, or who started it is gone."""
    stopped, parent = False, os.getppid()

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    cell = load_cell(options.cell)
    learner, taken = begin(options, cell, Quiet())
    version, saved_s = -NEW_EVERY, time.monotonic()
    while not stopped and os.getppid() == parent:
        if learner.model.updates - version >= NEW_EVERY:
            version = learner.model.updates
            write_atomic(options.network, learner.network())
            write_json(options.told, {"version": version, "due": learner.due})
        for attempt in kept(options.attempts, taken):
            learner.take(attempt)
            taken += 1
        if learner.due:
            learner.learn(min(learner.due, AT_ONCE))
        else:
            time.sleep(AGAIN_S)
        if time.monotonic() - saved_s > KEEP_S:
            save(options, learner)
            saved_s = time.monotonic()
    save(options, learner)
    leave(options, cell, learner, sequences)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--params", type=Path, required=True, help="JSON file with the parameters")
    params = json.loads(parser.parse_args().params.read_text())
    sequences, recipe = params.pop("sequences"), PracticeRecipe(**params.pop("recipe"))
    demonstrations, out = Path(params.pop("demonstrations")), Path(params.pop("out"))
    os.nice(NICE)
    try:
        run(Options(**params, demonstrations=demonstrations, out=out, recipe=recipe), sequences)
    except InputError as error:
        print(error, flush=True)
        sys.exit(BAD_INPUT)


if __name__ == "__main__":
    main()
