"""Hardware profiles (one per physical arm) and plants (how one individual arm differs from the nominal model)."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, PositiveFloat, model_validator

from robot_rlaas.assets import data_dir, find
from robot_rlaas.cell.calibration import NonNegative
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.strict_yaml import Spec, load_spec

PER_JOINT = (
    *("position_limit_rad", "velocity_limit_rad_s", "acceleration_limit_rad_s2", "jerk_limit_rad_s3"),
    *("torque_limit_Nm", "drive_gain_Nm_A"),
)
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
            raise InputError("this arm measures no wrench at its wrist, and its supervisor limits what it feels there")
        return self.wrench


class HardwareProfile(Spec):
    """One kind of physical arm: names, limits (datasheet), topics and rates."""

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
    controller: Literal["forward_command_controller"] = "forward_command_controller"
    topics: Topics = Topics()
    state_rate_hz: PositiveFloat
    command_rate_hz: PositiveFloat

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
