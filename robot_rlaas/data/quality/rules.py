"""What findings are called and mean. `rlaas demos clean` takes the names as rules."""

RULES = {
    "files": "frames that cannot be read, or are missing from their file",
    "pictures": "pictures that cannot be decoded, or are missing",
    "not_finite": "a value is NaN or infinite",
    "timestamps": "stamps go back, repeat or leave a gap that is not marked as late",
    "dropped": "frames are missing or stand twice, by the clock that is observed",
    "history": "observations tell of other actions than those beside them",
    "frozen": "a sensor holds its value to the bit",
    "kinematics": "the tool does not move as the actions say: exchanged axes, jumps",
    "clipped": "something cut the actions short of their bounds",
    "label": "the episode's end contradicts its outcome",
    "duplicate": "its frames stand in an earlier episode",
    "blur": "pictures are blurred",
    "exposure": "pictures are too dark or too bright",
    "camera_frozen": "a camera shows the same picture while others move",
    "replay": "simulated again, it goes another way or ends otherwise",
    "idle_tail": "nothing is done at its end: those frames are cut off",
    "late": "frames came late and are marked so",
    "limits": "measurements reach the bounds that they are clipped to",
    "contact": "contact forces beyond what the cell allows",
    "pause": "nothing is done for long within it",
    "saturated": "far more actions at their bound than usual",
    "jerk": "shaky actions",
    "long": "far longer than usual",
    "near_duplicate": "nearly the same course as another episode",
    "failed": "it did not succeed",
}
MENDED = ("not_finite", "timestamps", "dropped", "history", "frozen", "kinematics", "label", "replay")
"""What is no longer wrong with a simulated episode that is simulated again, if it succeeds."""
DEFAULT_RULES = tuple(RULES)[: tuple(RULES).index("late")]  # what nothing should learn from
