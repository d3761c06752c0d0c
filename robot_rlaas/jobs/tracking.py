"""Runs on record with MLflow: what went in, how it went, what came out, what it cost."""

import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.jobs.pipeline import Watch

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from robot_rlaas.learn.aggregate import Round
    from robot_rlaas.learn.improve import Progress
    from robot_rlaas.learn.recipe import Recipe

ALLOWED = "sqlite:///PATH/mlflow.db (three slashes, four before an absolute path), or http(s)://HOST:PORT of a server"
GIVE_UP = 3  # calls in a row that fail: a server that has gone must not slow the training down
KEPT = {"train": ("policy.json", "progress.csv"), "qualify": ("report.json", "report.html")}
PACKAGES = ("robot_rlaas", "mujoco", "numpy", "onnxruntime", "stable-baselines3", "torch")


class Tracked:
    """A run in MLflow, which may fail at any time: that is told, and ends nothing. Implements `learn.train.Watch`."""

    def __init__(self, client: "MlflowClient", run_id: str, device: str, watch: Watch) -> None:
        self._client, self._run, self._device, self._watch = client, run_id, device, watch
        self._failures = 0
        self._cost = {"wall_s": 0.0, "core_s": 0.0, "gpu_s": 0.0, "simulated_h": 0.0}

    def cloning(self, epochs: int, of: int) -> None:
        """See `learn.train.Watch`."""

    def aggregating(self, done: "Round") -> None:
        """See `learn.train.Watch`."""
        told = {"success": done.validation.success, "score": done.validation.score, "frames": done.frames}
        self._metrics({f"aggregate.{name}": value for name, value in told.items()}, done.number)

    def improving(self, progress: "Progress") -> None:
        """See `learn.train.Watch`."""
        row = progress._asdict()
        steps, terms = row.pop("steps"), row.pop("terms")
        row |= {f"reward_{term}": value for term, value in terms.items()}
        self._metrics({f"ppo.{name}": value for name, value in row.items() if value is not None}, steps)

    def demonstrations(self, dataset: Path) -> None:
        """What was demonstrated, and how long people took: the episodes that are in it, not what went before."""
        from robot_rlaas.data.lineage import read_lineage
        from robot_rlaas.files import sha256_tree

        lineage = read_lineage(dataset)
        led = [a for a in lineage.episodes if a.operator in lineage.led_by and a.recorded_at is not None]
        self._parameters({"demonstrations": len(lineage.episodes), "demonstrations_sha256": sha256_tree(dataset)})
        self._metrics({"cost.human_min": sum(a.steps for a in led) * lineage.spec.period_s / 60})

    def stage(self, name: str, artefact: Path, wall_s: float, core_s: float, result: str) -> None:
        """A stage is finished, now or in an earlier run that is resumed."""
        gpu_s = wall_s if name == "train" and self._device == "cuda" else 0.0
        spent = {"wall_s": wall_s, "core_s": core_s, "gpu_s": gpu_s, "simulated_h": 0.0}
        self._send(lambda: self._client.set_tag(self._run, f"stage.{name}", result))
        if name == "demonstrate":
            self.demonstrations(artefact)
        for file in KEPT.get(name, ()):
            self._send(lambda path=artefact / file: self._client.log_artifact(self._run, str(path), name))
        if name == "train":
            spent["simulated_h"] = self._trained(json.loads((artefact / "policy.json").read_text())) / 3600
        if name == "qualify":
            spent["simulated_h"] = self._qualified(json.loads((artefact / "report.json").read_text())) / 3600
        for unit, value in spent.items():
            self._cost[unit] += value
        self._metrics({f"cost.{name}.{unit}": value for unit, value in spent.items()})
        self._metrics({f"cost.{unit}": value for unit, value in self._cost.items()})

    def close(self, status: str) -> None:
        """The run has ended: "FINISHED", "FAILED" or "KILLED"."""
        self._send(lambda: self._client.set_terminated(self._run, status))

    def begin(self, cell: CellSpec, recipe: "Recipe", seed: int) -> None:
        """What is known beforehand."""
        given = {f"recipe.{name}": value for name, value in recipe.model_dump(mode="json").items()}
        told = {"cell": cell.name, "cell_hash": cell.hash, "seed": seed, "device": self._device}
        self._parameters(told | given)

    def _trained(self, policy: dict[str, Any]) -> float:
        """Its validations; the simulated seconds that it took."""
        validation = {
            f"validation.{stage}.{figure}": float(value)
            for stage, figures in policy["validation"].items()
            for figure, value in figures.items()
        }
        self._metrics(validation)
        return policy["simulated_s"]

    def _qualified(self, report: dict[str, Any]) -> float:
        """Its figures and verdicts; the simulated seconds that it took."""
        success = report["success"]
        self._metrics({f"qualify.success_{name}": success[name] for name in ("rate", "lower_95", "upper_95")})
        for row in report["requirements"]:
            verdict = f"verdict.{row['name']}", str(row["verdict"])
            self._send(lambda tag=verdict: self._client.set_tag(self._run, *tag))
        return report["cost"]["simulated_s"]

    def _parameters(self, values: dict[str, Any]) -> None:
        from mlflow.entities import Param

        self._send(lambda: self._client.log_batch(self._run, params=[Param(k, str(v)) for k, v in values.items()]))

    def _metrics(self, values: dict[str, float], step: int = 0) -> None:
        from mlflow.entities import Metric

        now_ms = round(time.time() * 1000)
        rows = [Metric(name, value, now_ms, step) for name, value in values.items()]
        self._send(lambda: self._client.log_batch(self._run, metrics=rows))

    def _send(self, call: Callable[[], Any]) -> None:
        if self._failures == GIVE_UP:
            return
        try:
            call()
        except Exception as error:  # a full disk, a server that has gone: the training is worth more than its record
            self._failures += 1
            self._watch.say(f"  MLflow: not recorded ({_short(error)})")
            if self._failures == GIVE_UP:
                self._watch.say("  MLflow: failed too often, this run's record ends here; the run goes on")
        else:
            self._failures = 0


@contextmanager
def tracked(
    uri: str | None, cell: CellSpec, recipe: "Recipe", seed: int, device: str, name: str, watch: Watch
) -> Iterator[Tracked | None]:
    """A run on record for the length of the block; None without a `uri`.

    Args:
        uri: of the store.
        cell: its name is the experiment's.
        recipe, seed, device: of the training; parameters of the run.
        name: of the run.
        watch: hears where the record is, and of what could not be recorded.

    Raises:
        InputError: if MLflow is not installed, or the store cannot be reached or written.
    """
    if uri is None:
        yield None
        return
    client, run_id = _open(uri, cell.name, name)
    run = Tracked(client, run_id, device, watch)
    run.begin(cell, recipe, seed)
    watch.say(f"on record: {uri}, experiment '{cell.name}', run '{name}' ({run_id[:8]})")
    try:
        yield run
    except BaseException as error:
        run.close("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    run.close("FINISHED")


def _open(uri: str, experiment: str, name: str) -> tuple["MlflowClient", str]:
    """A client, and the id of a new run."""
    if "://" not in uri:
        raise InputError(f"--track {uri}: not a URI; allowed is {ALLOWED}", fix=f"--track sqlite:///{uri}")
    artefacts = _beside_database(uri)
    try:
        client = _client(uri)
        found = client.get_experiment_by_name(experiment)
        experiment_id = found.experiment_id if found else client.create_experiment(experiment, artefacts)
        tags = {f"version.{package}": version(package) for package in PACKAGES}
        return client, client.create_run(experiment_id, run_name=name, tags=tags).info.run_id
    except ImportError as error:
        fix = "pip install 'robot_rlaas[track]', and the driver of a database other than SQLite"
        raise InputError(f"--track {uri}: {error}", fix=fix) from error
    except Exception as error:  # of a store, a network, a database driver: nothing has begun yet
        message = f"--track {uri}: MLflow cannot record there ({_short(error)}); allowed is {ALLOWED}"
        raise InputError(message, fix="start the server, correct the URI, or leave --track out") from error


def _client(uri: str) -> "MlflowClient":
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # else it reports every import to its makers
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # its own: 7 times 120 s
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    from mlflow import MlflowClient

    for chatty in ("mlflow", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _beside_database(uri: str) -> str | None:
    """Where the artefacts of a database file go: MLflow would put them in whatever directory it is run from."""
    if not uri.startswith("sqlite:///"):
        return None
    database = Path(uri.removeprefix("sqlite:///")).absolute()
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--track {uri}: {error.strerror}", file=database.parent, fix="name another place") from error
    return database.with_name(f"{database.stem}_artifacts").as_uri()


def _short(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
