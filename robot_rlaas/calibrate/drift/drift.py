"""Whether the arm in production still is the arm that was calibrated, and if not, what of it has changed."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from robot_rlaas.calibrate.drift.cusum import cycles_to_notice, likelihoods, update
from robot_rlaas.calibrate.drift.drift_plot import draw
from robot_rlaas.calibrate.drift.production import Scorer, Suspect, read_cycles
from robot_rlaas.calibrate.drift.watch import Drift, Watch, begin, load
from robot_rlaas.calibrate.log import start_ns
from robot_rlaas.cell.calibration import Calibration
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.files import write_atomic
from robot_rlaas.sim.model import Workcell

NOTICED_CYCLES = 20  # a change that takes longer is called hard to see
ALREADY = 0.5  # part of a change by which the reference may differ from the calibration


def drift(
    cell: CellSpec,
    workcell: Workcell,
    calibration: Calibration,
    logs: Iterable[Path],
    state: Path | None,
    on_event: Callable[[str], None] = print,
) -> Drift | None:
    """Score the cycles in logs, in the order of recording -> what has changed, or None so far.

    Args:
        cell: says how high the plate is.
        workcell: built from it.
        calibration: of this arm, accepted.
        logs: MCAP files of production, each of one cycle or many, in any order; what is older than what the watch has
            seen is passed over.
        state: where the watch is kept, as JSON, with its picture beside it. None begins anew and keeps nothing.
        on_event: gets a line about each file, about the reference and about a change.

    Raises:
        InputError: if a log cannot be read, the calibration is not for this arm, or the state not for the calibration.
    """
    scorer = Scorer(cell, workcell, calibration)
    suspects = scorer.suspects
    watch = load(state, calibration, suspects) if state and state.exists() else begin(calibration, suspects)
    if state and state.suffix == ".svg":
        raise InputError("the picture goes there", file=state, fix="name a .json file")
    for path in sorted(logs, key=lambda path: start_ns(path, workcell.profile)):
        before = watch.cycles
        for end_ns, log in read_cycles(path, workcell, on_event):
            score = scorer.score(log) if end_ns > watch.until_ns and not watch.found else None
            if score is not None:
                judged = watch.reference.complete
                watch = update(watch.model_copy(update={"until_ns": end_ns}), score, suspects)
                if watch.reference.complete and not judged:
                    on_event(_tell_reference(watch, suspects))
        on_event(f"{path.name}: {watch.cycles - before} cycles scored, {watch.cycles} in all")
        if watch.found:
            break
    if state:
        write_atomic(state, watch.model_dump_json() + "\n")
        if watch.recent:
            write_atomic(state.with_suffix(".svg"), draw(watch, suspects))
    on_event(str(watch.found or "no change"))
    return watch.found


def _tell_reference(watch: Watch, suspects: tuple[Suspect, ...]) -> str:
    """What its reference lets a watch see, and whether the arm is the calibrated one to begin with."""
    reference = watch.reference
    shown = {name for name, n in zip(watch.suspects, cycles_to_notice(reference)) if n <= NOTICED_CYCLES}
    late = [name for name in dict.fromkeys(watch.suspects) if name not in shown]
    text = f"the reference of {reference.cycles} cycles is complete"
    if late:
        text += f"; these motions hardly show a change of {', '.join(late)}"
    likelihood = likelihoods(reference, np.array(reference.value) / reference.cycles, reference.cycles)
    best = int(np.argmax(likelihood))
    size = reference.value[best] / max(reference.response[best], 1e-12)
    if size > ALREADY and likelihood[best] > watch.threshold:
        differs = f"{suspects[best]} by {size * suspects[best].change:+.3g}"
        text += f"; the arm already differs from its calibration, most likely in {differs}: calibrate again"
    return text
