"""What a distillation is made of, read from policies/distillations/*.yaml."""

from typing import Annotated

from pydantic import Field, model_validator

from robot_rlaas.assets import data_dir, find
from robot_rlaas.cell.explain import Wrong
from robot_rlaas.cell.strict_yaml import Spec, load_spec
from robot_rlaas.learn.quantities import Batch, Count, Layers, Noise, Rate, Rows, Widening, Width

DEFAULT = "default"
MOST_FRAMES = 10_000_000  # of 96 x 96 pixels, 280 GB

Frames = Annotated[int, Field(ge=1, le=1_000_000)]


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

    simulations: Rows
    noise: Noise
    widen: Widening
    share: Annotated[float, Field(ge=0.001, le=1)]
    teacher_frames: Annotated[Frames, Field(ge=2)]
    student_rounds: Annotated[int, Field(ge=0, le=100)]
    student_frames: Frames
    channels: Annotated[Layers, Field(min_length=1)]
    features: Width
    hidden: Layers
    batch_size: Batch
    eye_passes: tuple[Count, Count]
    eye_rate: tuple[Rate, Rate]
    hand_passes: tuple[Count, Count]
    hand_rate: Rate
    validation_episodes: Count

    @model_validator(mode="after")
    def _frames_fit(self) -> "Lessons":
        if self.frames > MOST_FRAMES:
            message = f"must not make more than {MOST_FRAMES:,} frames of all lessons; it makes {self.frames:,}"
            raise Wrong("student_frames", message)
        return self

    @property
    def frames(self) -> int:
        """Of all lessons."""
        return self.teacher_frames + self.student_rounds * self.student_frames


def load_lessons(reference: str) -> Lessons:
    """The lessons of a shipped name or of a path. Keys that it leaves out are those of default.yaml."""
    shipped = data_dir("policies") / "distillations"
    default = load_spec(shipped / f"{DEFAULT}.yaml", Lessons)
    return load_spec(find(reference, shipped, ".yaml"), Lessons, base=default)
