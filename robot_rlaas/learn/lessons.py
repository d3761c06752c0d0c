"""What a distillation is made of, read from policies/distillations/*.yaml."""

from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt

from robot_rlaas.assets import data_dir, find
from robot_rlaas.cell.calibration import NonNegative
from robot_rlaas.cell.strict_yaml import Spec, load_spec

DEFAULT = "default"


class Lessons(Spec):
    """How a student learns. Pairs are [in the first lesson, in each of the later ones].

    Attributes:
        simulations: episodes side by side.
        noise: largest standard deviation of the noise injected into the teacher's actions, as a fraction of an action.
        widen: as in `Recipe`.
        share: of the periods, which are kept as frames. Those of one episode look alike; a frame of each camera of 96 x
            96 pixels takes 28 kB of memory.
        teacher_frames: of the first lesson, in which the teacher acts.
        student_rounds: further lessons, in which the student acts and the teacher says what it would have done.
        student_frames: of each of those.
        channels: of each eye's convolutions, every one of which halves the picture.
        features: that an eye makes of a picture.
        hidden: widths of the hand's hidden layers.
        batch_size: frames per gradient step.
        eye_passes: how often the eyes go through all frames that there are by then.
        eye_rate: largest learning rate of the eyes.
        hand_passes: how often the hand does.
        hand_rate: its learning rate, which falls to zero along a cosine.
        validation_episodes: fresh ones after each lesson.
    """

    simulations: PositiveInt
    noise: NonNegative
    widen: Annotated[float, Field(ge=1)]
    share: Annotated[float, Field(gt=0, le=1)]
    teacher_frames: PositiveInt
    student_rounds: Annotated[int, Field(ge=0)]
    student_frames: PositiveInt
    channels: Annotated[tuple[PositiveInt, ...], Field(min_length=1)]
    features: PositiveInt
    hidden: tuple[PositiveInt, ...]
    batch_size: PositiveInt
    eye_passes: tuple[PositiveInt, PositiveInt]
    eye_rate: tuple[PositiveFloat, PositiveFloat]
    hand_passes: tuple[PositiveInt, PositiveInt]
    hand_rate: PositiveFloat
    validation_episodes: PositiveInt

    @property
    def frames(self) -> int:
        """Of all lessons."""
        return self.teacher_frames + self.student_rounds * self.student_frames


def load_lessons(reference: str) -> Lessons:
    """The lessons of a shipped name or of a path. Keys that it leaves out are those of default.yaml."""
    shipped = data_dir("policies") / "distillations"
    default = load_spec(shipped / f"{DEFAULT}.yaml", Lessons)
    return load_spec(find(reference, shipped, ".yaml"), Lessons, base=default)
