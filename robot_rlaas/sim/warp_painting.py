"""Pictures drawn by MuJoCo Warp's ray caster, all simulations at once, on the device that simulates them.

It draws the same model with the same lights as OpenGL does: see `sim.drawn`. Only `sim.backends` imports this module.
"""

from typing import Any, Self

import mujoco_warp as mjw
import numpy as np
import warp as wp

from robot_rlaas.cell.spec import CellSpec
from robot_rlaas.sim.backend import Poses
from robot_rlaas.sim.drawn import SEEN, drawn_model, fields
from robot_rlaas.sim.looks import Looks, plain
from robot_rlaas.sim.model import Workcell
from robot_rlaas.sim.painting import Pictures

wp.config.log_level = wp.LOG_WARNING  # it greets on standard output, which belongs to the commands

BLUE_GREEN_RED = slice(2, None, -1)  # bytes of a pixel


class WarpPainter:
    """Implements `Painter`.

    Args:
        cell: with its cameras.
        workcell: built from it.
        nsim: how many simulations there are.
        device: as Warp names it: "cpu", "cuda", "cuda:1".
    """

    def __init__(self, cell: CellSpec, workcell: Workcell, nsim: int, device: str = "cpu") -> None:
        self._cell, self._workcell, self._nsim, self._device = cell, workcell, nsim, device

    def __enter__(self) -> Self:
        self._drawn = drawn = drawn_model(self._cell, self._workcell)
        self._fields = fields(drawn, plain(self._cell, self._nsim))
        with wp.ScopedDevice(self._device):
            each = dict.fromkeys([*self._fields, "body_pos", "body_quat"], self._nsim)
            self._model: Any = mjw.put_model(drawn.model, batch_sizes=each)
            self._data: Any = mjw.make_data(drawn.model, nworld=self._nsim)
            self._context: Any = mjw.create_render_context(
                drawn.model,
                nworld=self._nsim,
                cam_res=[camera.resolution_px for camera in self._cell.cameras.values()],
                cam_active=drawn.cameras.tolist(),
                render_rgb=True,
                render_depth=False,
                enabled_geom_groups=[SEEN],
                use_textures=False,
                enable_specular=False,
            )
            self._send(self._model, self._fields)
        return self

    def __exit__(self, *_: object) -> None:
        del self._model, self._data, self._context

    def begin(self, rows: np.ndarray, looks: Looks) -> None:
        """See `Painter.begin`."""
        for name, field in fields(self._drawn, looks).items():
            self._fields[name][rows] = field
        with wp.ScopedDevice(self._device):
            self._send(self._model, self._fields)

    def paint(self, at: Poses, due: dict[str, np.ndarray]) -> Pictures:
        """See `Painter.paint`. It draws everything and hands out what is due."""
        with wp.ScopedDevice(self._device):
            self._send(self._model, {"body_pos": at.body_pos, "body_quat": at.body_quat})
            self._send(self._data, {"qpos": at.qpos, "mocap_pos": at.mocap_pos, "mocap_quat": at.mocap_quat})
            mjw.kinematics(self._model, self._data)
            mjw.com_pos(self._model, self._data)
            mjw.camlight(self._model, self._data)
            mjw.refit_bvh(self._model, self._data, self._context)
            mjw.render(self._model, self._data, self._context)
            pixels = self._context.rgb_data.numpy().view(np.uint8).reshape(self._nsim, -1, 4)
        pictures, first = {}, 0
        for name, camera in self._cell.cameras.items():
            width, height = camera.resolution_px
            own = pixels[due.get(name, np.zeros(0, int)), first : first + width * height, BLUE_GREEN_RED]
            pictures[name] = np.ascontiguousarray(own).reshape(-1, height, width, 3)
            first += width * height
        return pictures

    @staticmethod
    def _send(to: Any, arrays: dict[str, np.ndarray]) -> None:
        for name, values in arrays.items():
            array = getattr(to, name)
            if array.size:
                array.assign(np.ascontiguousarray(values, np.float32))
