"""Hardware profiles (one per physical arm) and plants (how one individual arm differs from the nominal model)."""

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple

import numpy as np
from pydantic import Field, FiniteFloat, PositiveFloat, model_validator

from robot_rlaas.assets import data_dir, find
from robot_rlaas.cell.calibration import NonNegative
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.strict_yaml import Spec, load_spec

PER_JOINT = (
    *("position_limit_rad", "velocity_limit_rad_s", "acceleration_limit_rad_s2", "jerk_limit_rad_s3"),
    *("torque_limit_Nm", "drive_gain_Nm_A"),
)
COMMANDS = {  # by kind of controller: what its command topic's name ends with, and the messages on it
    "forward_command_controller": ("/commands", "std_msgs/msg/Float64MultiArray"),
    "joint_trajectory_controller": ("/joint_trajectory", "trajectory_msgs/msg/JointTrajectory"),
}
CONTROLLERS = {"forward": "forward_command_controller", "trajectory": "joint_trajectory_controller"}  # for people
Controller = Literal["forward_command_controller", "joint_trajectory_controller"]
PerJoint = FiniteFloat | tuple[FiniteFloat, ...]  # one value for all joints, or one each


class Topics(Spec):
    """ROS 2 names, as the vendor's driver and ros2_control use them. No wrench: the arm does not measure one."""

    joint_states: str = "/joint_states"
    command: str = "/forward_position_controller/commands"
    wrench: str | None = "/force_torque_sensor_broadcaster/wrench"

    @property
    def felt(self) -> str:
        """The wrench's topic, for whoever cannot do without.

        Raises:
            InputError: if the arm does not measure one.
        """
        if self.wrench is None:
            text = "this arm measures no wrench at its wrist: no policy, press or demonstration can go by what it feels"
            raise InputError(text, fix="it can be excited, recorded and calibrated: 'rlaas calibrate arm'")
        return self.wrench


class Driver(Spec):
    """How this machine itself reaches an arm that has no ROS driver: as a `Robot` of LeRobot.

    Attributes:
        type: LeRobot's name of it, such as so101_follower.
        port: the serial port that it hangs on.
        id: LeRobot's name of this individual: its calibration file is ID.json.
        options: more of LeRobot's configuration of it.
        zero_deg: what LeRobot reads, degrees, where a joint is at 0 rad; 0 for joints that are not named.
        turned: joints that LeRobot counts the other way round.
        current_step_A: of the register Present_Current; None: the joint states have no effort.
        at_end: "hold": the arm stays where it is, under power; "release": it is let go, and drops.
    """

    type: str
    port: str
    id: str
    options: dict[str, bool | int | float | str] = Field(default_factory=dict)
    zero_deg: dict[str, FiniteFloat] = Field(default_factory=dict)
    turned: tuple[str, ...] = ()
    current_step_A: PositiveFloat | None = None
    at_end: Literal["hold", "release"] = "hold"

    def at(self, line: "Line") -> "Driver":
        """The same at another port, or of another individual."""
        return self.model_copy(update={"port": line.port or self.port, "id": line.id or self.id})


class Line(NamedTuple):
    """How an arm is reached; empty: as the hardware profile says.

    Attributes:
        port, id: where a driver of LeRobot's finds its arm, and which one.
        controller: through which controller, a key of CONTROLLERS.
    """

    port: str = ""
    id: str = ""
    controller: str = ""


AS_THE_PROFILE_SAYS = Line()


class Gripper(Spec):
    """The joint of a gripper as its controller is told it and the joint states tell it, in rad or m.

    `command` takes std_msgs/Float64MultiArray with its position alone. `aperture_mm` is the gap between the pads at
    equal steps of the joint, from closed to open.
    """

    joint: str
    closed: FiniteFloat
    open: FiniteFloat
    aperture_mm: Annotated[tuple[NonNegative, ...], Field(min_length=2)]
    command: str = "/gripper_position_controller/commands"

    def position(self, share: float) -> float:
        """Of the joint, at a share of its way from closed, 0, to open, 1."""
        return self.closed + share * (self.open - self.closed)

    def share(self, position: float) -> float:
        """The inverse."""
        return (position - self.closed) / (self.open - self.closed)

    def aperture_m(self, position: float) -> float:
        """Between the pads, m."""
        return float(np.interp(self.share(position), np.linspace(0, 1, len(self.aperture_mm)), self.aperture_mm)) / 1000

    @model_validator(mode="after")
    def _opens(self) -> "Gripper":
        if self.closed == self.open:
            raise ValueError(f"it is at {self.open:g} both closed and open")
        return self


class HardwareProfile(Spec):
    """One kind of physical arm: names, limits (datasheet), topics and rates.

    `other_controllers`: command topics of what can stand in for `controller`, by kind.
    """

    arm: str
    source: str
    joints: tuple[str, ...]
    position_limit_rad: tuple[tuple[float, float], ...]
    velocity_limit_rad_s: tuple[PositiveFloat, ...]
    acceleration_limit_rad_s2: tuple[PositiveFloat, ...]
    jerk_limit_rad_s3: tuple[PositiveFloat, ...] | None = None
    torque_limit_Nm: tuple[PositiveFloat, ...] | None = None  # of the joint states' effort, where that is in N m
    force_limit_N: PositiveFloat
    payload_limit_kg: PositiveFloat | None = None
    drive_gain_Nm_A: tuple[PositiveFloat, ...] | None = None  # joint torque per motor current
    controller: Controller = "forward_command_controller"
    other_controllers: dict[Controller, str] = Field(default_factory=dict)
    topics: Topics = Topics()
    gripper: Gripper | None = None
    driver: Driver | None = None  # None: the arm's own is running when it is needed
    state_rate_hz: PositiveFloat
    command_rate_hz: PositiveFloat

    @property
    def command_type(self) -> str:
        """The message type that the controller is sent."""
        return COMMANDS[self.controller][1]

    @property
    def command_topics(self) -> tuple[str, ...]:
        """Of all its controllers."""
        return self.topics.command, *self.other_controllers.values()

    def behind(self, name: str) -> "HardwareProfile":
        """The same, commanded through the controller of this name, a key of CONTROLLERS; empty: through its own.

        Raises:
            InputError: if it has no such controller.
        """
        offered: dict[str, str] = {**self.other_controllers, self.controller: self.topics.command}
        kind = CONTROLLERS.get(name, "") if name else self.controller
        if kind not in offered:
            has = ", ".join(key for key, one in CONTROLLERS.items() if one in offered)
            text = f"the hardware profile of the {self.arm} has no controller '{name}'; it has {has}"
            raise InputError(text, fix="name one that it has, or add its topic to the profile's other_controllers")
        topics = self.topics.model_copy(update={"command": offered.pop(kind)})
        return self.model_copy(update={"controller": kind, "topics": topics, "other_controllers": offered})

    @property
    def moved_gripper(self) -> Gripper:
        """The gripper, for whoever has to move one.

        Raises:
            InputError: if the profile names none.
        """
        if self.gripper is None:
            text = f"the hardware profile of this {self.arm} names no gripper, and a handling cell needs one"
            raise InputError(text, fix="give it a section `gripper:`, as hardware/ur5e.yaml has one")
        return self.gripper

    def ordered(self, joints: Sequence[str]) -> "HardwareProfile":
        """The same with its joints in another order."""
        order = [self.joints.index(name) for name in joints]
        values = {name: getattr(self, name) for name in ("joints", *PER_JOINT)}
        given = {name: tuple(value[i] for i in order) for name, value in values.items() if value is not None}
        return self.model_copy(update=given)

    @model_validator(mode="after")
    def _same_length(self) -> "HardwareProfile":
        for name in PER_JOINT:
            value = getattr(self, name)
            if value is not None and len(value) != len(self.joints):
                raise ValueError(f"{name} needs one entry per joint ({len(self.joints)})")
        return self

    @model_validator(mode="after")
    def _driven(self) -> "HardwareProfile":
        if self.driver is None:
            return self
        if unknown := {*self.driver.zero_deg, *self.driver.turned} - set(self.joints):
            raise ValueError(f"driver names {', '.join(sorted(unknown))}; the joints are {', '.join(self.joints)}")
        if self.driver.current_step_A is not None and self.drive_gain_Nm_A is None:
            raise ValueError("driver.current_step_A needs drive_gain_Nm_A, which makes torques of currents")
        if self.controller != "forward_command_controller" or self.other_controllers:
            raise ValueError("a driver takes the commands of a forward_command_controller, and of no other")
        return self

    @model_validator(mode="after")
    def _controller_listens(self) -> "HardwareProfile":
        listening = {"topics.command": (self.controller, self.topics.command)}
        listening |= {f"other_controllers.{kind}": (kind, topic) for kind, topic in self.other_controllers.items()}
        for key, (kind, topic) in listening.items():
            if not topic.endswith(end := COMMANDS[kind][0]):
                raise ValueError(f"a {kind} listens on NAME{end}, and {key} is '{topic}'")
        return self


class Plant(Spec):
    """How an individual arm, and where its plate stands, differs from the nominal model. Scales multiply.

    A payload is a point mass that the controller does not know of: its weight is not compensated. `payload_x_m` and so
    on say where it is in the hand's frame, from the middle between the fingertips. Noises are standard deviations of
    every reading, biases those of one draw per axis that stays. `plate_z_mm` is how much higher an insertion's plate
    stands than the cell says, `plate_tilt_x_deg` and so on how it is turned about the base frame's x and y; no camera
    sees that.
    """

    description: str
    servo_gain_scale: PerJoint = 1.0
    joint_damping_scale: PerJoint = 1.0
    joint_friction_Nm: PerJoint = 0.0
    armature_scale: PerJoint = 1.0
    command_delay_s: Annotated[float, Field(ge=0, le=0.1)] = 0.0
    payload_kg: NonNegative = 0.0
    payload_x_m: FiniteFloat = 0.0
    payload_y_m: FiniteFloat = 0.0
    payload_z_m: FiniteFloat = 0.0
    joint_noise_rad: NonNegative = 0.0
    force_noise_N: NonNegative = 0.0
    torque_noise_Nm: NonNegative = 0.0
    force_bias_N: NonNegative = 0.0
    torque_bias_Nm: NonNegative = 0.0
    plate_z_mm: FiniteFloat = 0.0
    plate_tilt_x_deg: FiniteFloat = 0.0
    plate_tilt_y_deg: FiniteFloat = 0.0


def load_hardware(reference: str) -> HardwareProfile:
    """The profile of a shipped arm's name or of a path."""
    return load_spec(find(reference, data_dir("hardware"), ".yaml"), HardwareProfile)


def load_plant(reference: str, joints: int) -> Plant:
    """The plant of a shipped name or of a path, for an arm of so many joints.

    Raises:
        InputError: besides what is wrong with the file, if it is for an arm of another number of joints.
    """
    path = find(reference, data_dir("hardware") / "plants", ".yaml")
    plant = load_spec(path, Plant)
    for name, value in plant:
        if isinstance(value, tuple) and len(value) != joints:
            raise InputError(
                f"{name} has {len(value)} values, and the arm has {joints} joints",
                file=path,
                fix="give one value per joint, or one for all; '--plant worn' suits every arm",
            )
    return plant
