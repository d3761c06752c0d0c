"""What the processes round an arm are given: one process, what all must know of the arm, the environment of each."""

import sys
from pathlib import Path
from typing import Any, NamedTuple

from robot_rlaas.bundle.domain import Domain
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.hardware import AS_THE_PROFILE_SAYS, HardwareProfile, Line, load_hardware
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.capsules import Capsules
from robot_rlaas.control.envelope import Tightest, envelope_of, tightest
from robot_rlaas.control.kinematics import SerialChain
from robot_rlaas.control.safety import Envelope
from robot_rlaas.files import write_json


class Process(NamedTuple):
    """One process: `python -m module --params <file with params>` under these additions to the environment.

    `ros_args` are those of any ROS node: "-r", "/from:=/to" and so on.
    """

    name: str
    module: str
    params: dict[str, Any]
    environment: dict[str, str]
    ros_args: tuple[str, ...] = ()

    def argv(self, out: Path) -> list[str]:
        """The command line; writes the parameter file under `out`."""
        file = out / "params" / f"{self.name}.json"
        write_json(file, self.params)
        ros_args = ("--ros-args", *self.ros_args) if self.ros_args else ()
        return [sys.executable, "-m", self.module, "--params", str(file), *ros_args]


class Station(NamedTuple):
    """What the processes round the arm must know, whatever drives it.

    Attributes:
        cell: the cell.
        chain, envelope: from a bundle or from a workcell.
        capsules: the arm's shape, from there too; None where it is not known.
        domain: what the supervisor holds the policy to; None: to nothing.
        domain_rule: for the log: one of DOMAIN, or "unknown" where the bundle has no operating domain.
        bundle_sha256, contract: for the log, the contract as JSON; empty without a bundle.
        line: how the arm is reached.
        origin: who vouches for the bundle, in words, for the log.
    """

    cell: CellSpec
    chain: SerialChain
    envelope: Envelope
    bundle_sha256: str = ""
    origin: str = ""
    capsules: Capsules | None = None
    domain: Domain | None = None
    domain_rule: str = "unknown"
    contract: str = ""
    line: Line = AS_THE_PROFILE_SAYS

    @property
    def profile(self) -> HardwareProfile:
        """The hardware profile that the cell names, its driver at the line, behind the controller that it names.

        Raises:
            InputError: if there is a line, and no driver, or no such controller.
        """
        profile = load_hardware(self.cell.robot.hardware).behind(self.line.controller)
        if profile.driver is not None:
            return profile.model_copy(update={"driver": profile.driver.at(self.line)})
        if self.line.port or self.line.id:
            name, fix = self.cell.robot.hardware, "leave --port and --robot-id out: its own driver is told where it is"
            raise InputError(f"the hardware profile '{name}' has no driver of LeRobot's", fix=fix)
        return profile

    @property
    def limits(self) -> Tightest:
        """What hardware profile and cell, as they are here, and the bundle allow together.

        Raises:
            InputError: if profile and bundle are not of the same joints.
        """
        profile, joints = self.profile, self.chain.joints
        if set(profile.joints) != set(joints):
            raise InputError(
                f"the hardware profile '{self.cell.robot.hardware}' has joints {list(profile.joints)}; "
                f"the bundle drives {list(joints)}",
            )
        here = envelope_of(self.cell, profile.ordered(joints), self.chain, self.envelope.guarded_m)
        return tightest(("hardware profile and cell", here), ("bundle", self.envelope))


def environment(domain_id: int | None) -> dict[str, str]:
    """What every process gets: no threads for small matrices; with a domain, traffic that stays on this machine."""
    threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    if domain_id is None:
        return threads
    if not 0 <= domain_id <= 101:
        raise InputError(f"ROS domain {domain_id}: allowed are 0 to 101")
    return threads | {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "ROS_DOMAIN_ID": str(domain_id)}
