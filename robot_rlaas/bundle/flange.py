"""The kinematics up to the flange. A bundle holds them up to the tip of the part."""

from robot_rlaas.cell.hardware import load_hardware
from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.control.kinematics import SerialChain


def chain_to_flange(cell: CellSpec) -> SerialChain:
    """Of the arm that a cell names, from its model.

    Raises:
        InputError: if there is no such model here, or it cannot be used.
    """
    from robot_rlaas.sim.arms import load_arm  # only who asks for it loads a simulator
    from robot_rlaas.sim.model import serial_chain

    joints = load_hardware(cell.robot.hardware).joints
    return serial_chain(load_arm(cell.robot.arm, joints).compile(), joints, "flange")
