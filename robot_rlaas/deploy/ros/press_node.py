"""Presses a tip gently onto the plate. Parameters besides those of `motion_node`: cell, chain, envelope, gentle."""

from typing import Any

from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.kinematics import SerialChain
from robot_rlaas.control.safety import Envelope
from robot_rlaas.deploy.press import Gentle, Press
from robot_rlaas.deploy.ros.motion_node import main


def press_of(params: dict[str, Any]) -> Press:
    """The press that the parameters describe; it tells on standard output."""
    return Press(
        CellSpec.model_validate(params["cell"]),
        SerialChain.from_json(params["chain"]),
        Envelope.from_json(params["envelope"]),
        Gentle(**params["gentle"]),
        lambda text: print(text, flush=True),
    )


if __name__ == "__main__":
    main(press_of)
