"""Pictures of a batch of episodes: for people who look, and for policies that see."""

from contextlib import ExitStack
from typing import Any

import numpy as np

from robot_rlaas.cell.cameras import STATE
from robot_rlaas.env.batch import BatchEnv
from robot_rlaas.sim.render import Renderer
from robot_rlaas.sim.seeing import SeeingBackend

Observation = Any  # an array, or a dict of arrays: the array under "state", and pictures by their cameras' names


class Film:
    """Draws the simulations of a batch for people. The OpenGL context is opened with the first picture."""

    def __init__(self, batch: BatchEnv, camera: str, size_px: tuple[int, int]) -> None:
        self._batch, self._camera, self._open = batch, camera, ExitStack()
        self._closed_renderer = Renderer(batch.workcell, *size_px, shadows=False)
        self._renderer: Renderer | None = None

    def draw(self, row: int) -> np.ndarray:
        """One simulation as it is now, (height, width, 3) uint8 RGB.

        Raises:
            RenderingUnavailable: where there is no EGL.
        """
        if self._renderer is None:
            self._renderer = self._open.enter_context(self._closed_renderer)
        return self._renderer.draw(self._batch.backend, row, self._camera)

    def close(self) -> None:
        """Free the context, if there is one."""
        self._open.close()
        self._renderer = None


class Sight:
    """Adds the pictures of a cell's cameras to observations, if its backend takes any."""

    def __init__(self, batch: BatchEnv) -> None:
        self._backend = batch.backend if isinstance(batch.backend, SeeingBackend) else None
        self._open, self._is_open = ExitStack(), False

    def open(self) -> None:
        """Be ready to draw.

        Raises:
            RenderingUnavailable: where there is no EGL.
        """
        if self._backend is not None and not self._is_open:
            self._open.enter_context(self._backend)
            self._is_open = True

    def now(self, state: np.ndarray) -> Observation:
        """What is observed of all simulations, with the state (n, observation_size)."""
        if self._backend is None:
            return state.copy()
        return {STATE: state.copy(), **{name: seen.copy() for name, seen in self._backend.pictures.items()}}

    def last(self, state: np.ndarray, row: int) -> Observation:
        """What one simulation's last step left, with the states of all (n, observation_size)."""
        if self._backend is None:
            return state[row].copy()
        return {STATE: state[row].copy(), **{name: seen[row].copy() for name, seen in self._backend.final.items()}}

    def close(self) -> None:
        """Free the contexts, if there are any."""
        self._open.close()
        self._is_open = False
