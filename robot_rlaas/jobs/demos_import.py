"""Deployments' logs as demonstrations, wired together: `rlaas demos import` calls it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from robot_rlaas.cell.errors import InputError
from robot_rlaas.files import sha256_file
from robot_rlaas.jobs.pipeline import Cell, Result, Watch, counter

if TYPE_CHECKING:
    from robot_rlaas.data.episode import Episode
    from robot_rlaas.data.logged import Logged


class Log(NamedTuple):
    """The log of one deployment.

    Attributes:
        folder: where it is.
        parts: its files, each with what it says of itself.
        cut: what is missing, a line per file that was cut off.
        more: what else there is of it that nobody named, a line or none.
        attempts: in the order of time.
    """

    folder: Path
    parts: dict[Path, dict[str, str]]
    cut: list[str]
    more: list[str]
    attempts: "list[Logged]"

    @property
    def about(self) -> dict[str, str]:
        """What all of its files say of themselves."""
        return next(iter(self.parts.values()))


def from_logs(logs: Sequence[Path], cell: Cell, out: Path, watch: Watch) -> Result:
    """Write what policies saw and did in deployments as a dataset: an episode per attempt that came to its end.

    Args:
        logs: of a deployment each: its folder, whose MCAP files are one log, or one of these files. The virtual arm's
            own count of the attempts is taken from the deployment.json beside it, where there is one; else the outcome
            is what the policy's node measured. Of a file that was cut off, what is whole is taken.
        cell: the one that was deployed.
        out: the dataset.

    Raises:
        InputError: if a log cannot be read, is of another cell, or holds no attempt.
    """
    from robot_rlaas.data.edit import fresh
    from robot_rlaas.data.lerobot import write_dataset
    from robot_rlaas.data.lineage import Made, lineage_of
    from robot_rlaas.env.tasks import contract_of

    fresh(out)
    contract, episodes, told, left_out = contract_of(cell.spec), list["Episode"](), list[dict[str, str]](), list[str]()
    for path in logs:
        log = read_deployment(path, cell)
        scored = _scored(log)
        whole = [attempt for attempt in log.attempts if attempt.result is not None]
        broken = [f"{path}: attempt {i + 1} was broken off" for i, a in enumerate(log.attempts) if a.result is None]
        left_out += [*log.cut, *broken]
        outcomes = scored if len(scored) >= len(whole) else [attempt.result or {} for attempt in whole]
        written = log.about.get("contract")
        if written and json.loads(written) != json.loads(json.dumps(contract.to_json())):
            raise InputError("its observations are not those of this version", file=path, fix="name its cell")
        operator = f"policy {log.about['bundle_sha256'][:12]}"
        for attempt, outcome in zip(whole, outcomes):
            if attempt.observation.shape[1] != contract.observation_size:
                raise InputError("its observations are not those of this version", file=path, fix="name its cell")
            episodes.append(attempt.episode(len(episodes), cell.spec.period_s, outcome, operator))
        counted_by = "virtual_arm" if outcomes is scored else "policy"
        for file, about in log.parts.items():
            said = {key: value for key, value in about.items() if key != "contract"}  # the dataset has its own
            told.append({"sha256": sha256_file(file), "counted_by": counted_by, **said})
        for line in (*log.cut, *log.more):
            watch.say(f"  {line}")
        watch.say(f"  {path}: {len(whole)} attempts, {len(broken)} broken off")
    if not episodes:
        raise InputError("no attempt came to its end in these logs", file=logs[0], fix="deploy again")
    made = Made(by="rlaas demos import", settings={"logs": told}, left_out=tuple(left_out))
    write_dataset(out, lineage_of(cell.spec, contract, (), made), episodes, counter(watch, "writing", len(episodes)))
    return Result(f"{len(episodes)} episodes, {sum(e.success for e in episodes)} successes: {out}")


def read_deployment(path: Path, cell: Cell) -> Log:
    """The log of a deployment of this cell.

    Raises:
        InputError: if it cannot be read, or is of another cell, or its files are of more than one deployment.
    """
    from robot_rlaas.calibrate import cut_off
    from robot_rlaas.calibrate.bag import mcap_files
    from robot_rlaas.calibrate.log import read_topics
    from robot_rlaas.data.logged import attempts_of
    from robot_rlaas.deploy.names import OBSERVATION
    from robot_rlaas.deploy.recorded import later_parts

    said = [json.loads(m.data) for _, m in read_topics(path, (OBSERVATION,))[OBSERVATION]]
    parts = {file: cut_off.metadata_of(file) for file in mcap_files(path)}
    folder, more = (path, []) if path.is_dir() else (path.parent, later_parts(path))
    log = Log(
        folder,
        parts,
        [f"{file}: {cut_off.told(file)}" for file in parts if cut_off.is_cut(file)],
        [f"{path}: the log goes on in {len(more)} more files; name {folder} for all of it"] if more else [],
        list(attempts_of(said)),
    )
    if not said or "cell_hash" not in log.about:
        raise InputError(f"no message on {OBSERVATION}: no log of a deployment", file=path, fix="deploy again")
    if len({(about.get("cell_hash"), about.get("bundle_sha256")) for about in parts.values()}) > 1:
        raise InputError("its files are of different cells or bundles", file=path, fix="name each log by itself")
    if log.about["cell_hash"] != cell.spec.hash:
        text = f"it is a deployment of '{log.about['cell']}', which is another cell than {cell.spec.name} as it is now"
        raise InputError(text, file=path, fix="name the cell.yaml of its bundle with --cell")
    return log


def _scored(log: Log) -> list[dict[str, Any]]:
    """The attempts that a virtual arm counted, if the deployment beside the log is the one of this bundle."""
    beside = log.folder / "deployment.json"
    deployment = json.loads(beside.read_text()) if beside.is_file() else {}
    if deployment.get("bundle_sha256") != log.about["bundle_sha256"] or deployment["counted_by"] != "virtual_arm":
        return []
    return deployment["attempts"]
