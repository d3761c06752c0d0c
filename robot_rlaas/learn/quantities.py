"""The kinds of values that recipes are made of, with bounds beyond which nothing is learned, or memory ends."""

from typing import Annotated

from pydantic import Field

MOST = 10**9

Count = Annotated[int, Field(ge=1, le=MOST)]
Times = Annotated[int, Field(ge=0, le=MOST)]
Rows = Annotated[int, Field(ge=1, le=65_536)]  # episodes side by side
Batch = Annotated[int, Field(ge=2, le=1_000_000)]  # one sample has no spread to be measured by
Width = Annotated[int, Field(ge=1, le=4096)]
Layers = Annotated[tuple[Width, ...], Field(max_length=8)]  # none: linear
Noise = Annotated[float, Field(ge=0, le=1)]  # as fractions of an action, whose range is -1 to 1
Spread = Annotated[float, Field(ge=1e-4, le=1)]  # of a network's own actions: its logarithm is taken
Rate = Annotated[float, Field(gt=0, le=0.1)]  # Adam moves every weight by about as much in every step
Widening = Annotated[float, Field(ge=1, le=5)]
