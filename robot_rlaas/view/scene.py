"""A simulated cell as a 3D page on this machine: the page's server, and the cell's bodies on it."""

from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from typing import Any
from urllib.request import urlopen

import numpy as np

from robot_rlaas.cell.errors import InputError
from robot_rlaas.sim.geometry import quaternion
from robot_rlaas.sim.shapes import Scene, Shape, Shown

LOOPBACK = "127.0.0.1"
VIEWS = ("cell", "close")
ONLY_SCENE = """.mantine-Notifications-root, .mantine-Paper-root, [data-dock-root] > :not(:first-child)
{ display: none !important; }"""


@contextmanager
def page_server(port: int, label: str, bare: bool = False) -> Iterator[Any]:
    """A viser server on the loopback address, until the block ends or somebody presses Ctrl-C.

    Args:
        port: the first to try; the next free one is taken. 0 takes any.
        label: the page's title.
        bare: the scene alone is wanted; whatever holds it hides the panel.

    Raises:
        InputError: if viser is not installed.
    """
    try:
        import viser
    except ImportError as error:
        raise InputError("the 3D page needs viser", fix="pip install 'robot_rlaas[view]'") from error
    with redirect_stdout(StringIO()):  # it has a banner of its own
        server = viser.ViserServer(LOOPBACK, port, label, verbose=False)
    server.gui.configure_theme(control_width="large", show_logo=False, show_share_button=False)
    if not bare:
        server.gui.main_panel.dock_right()
    try:
        yield server
    except KeyboardInterrupt:
        pass
    finally:
        with redirect_stdout(StringIO()):
            server.stop()


def address(server: Any) -> str:
    """Where the page is."""
    return f"http://{LOOPBACK}:{server.get_port()}"


def bare_page(server: Any) -> str:
    """The HTML of a server's page, with nothing to be seen but the scene: for a frame of another page."""
    with urlopen(address(server), timeout=10) as answer:
        return answer.read().decode().replace("</head>", f"<style>{ONLY_SCENE}</style></head>", 1)


def add_shape(server: Any, name: str, shape: Shape) -> None:
    """Put a shape on a page, under the frame that its name begins with."""
    *rgb, alpha = shape.rgba
    server.scene.add_mesh_simple(
        name,
        shape.vertices.astype(np.float32),
        shape.faces.astype(np.uint32),
        color=tuple(round(255 * x) for x in rgb),
        opacity=alpha if alpha < 1 else None,
        flat_shading=not shape.smooth,
    )


class Bodies:
    """The bodies of an environment's first simulation, on a page.

    Args:
        server: viser's.
        env: what is shown.
        view: of the VIEWS, the one with which the page opens.

    Attributes:
        frames: where each body of `scene.bodies` is, as the page has it.
        seen: where the task frame is, as observed.
    """

    def __init__(self, server: Any, env: Shown, view: str = VIEWS[0]) -> None:
        self.env, self.scene, self._server = env, Scene(env.workcell), server
        self._views = {view: self.scene.view(view) for view in VIEWS}
        server.scene.set_up_direction("+z")
        self.look(server.initial_camera, view)
        self.frames = [server.scene.add_frame(f"/body_{i}", show_axes=False) for i in range(len(self.scene.bodies))]
        for i, shape in enumerate(self.scene.shapes):
            add_shape(server, f"/body_{shape.body}/shape_{i}", shape)
        self.seen = server.scene.add_frame("/as_observed", axes_length=0.05, axes_radius=0.0015)

    def look(self, camera: Any, view: str) -> None:
        """Let a camera of the page look as one of the model does."""
        camera.position, camera.look_at, camera.fov = self._views[view]

    def show(self) -> None:
        """Move everything on the page to where it is now."""
        seen, poses = self.env.frame, self.scene.poses(self.env.backend)
        with self._server.atomic():
            self.seen.position, self.seen.wxyz = seen.p[0], quaternion(seen.R[0])
            for frame, position, wxyz in zip(self.frames, *poses):
                frame.position, frame.wxyz = position, wxyz
