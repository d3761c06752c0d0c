"""A mesh as convex pieces, by CoACD (Wei et al., SIGGRAPH 2022); kept in the user's cache, since it takes a while."""

import hashlib
import json
import logging
import threading
import time
from contextlib import suppress
from importlib.metadata import version
from typing import Any

import numpy as np

from robot_rlaas.files import cache_dir, write_json

SETTINGS = {"seed": 0, "mcts_iterations": 60, "decimate": True, "max_ch_vertex": 128, "preprocess_mode": "off"}
CONVEX = 1e-6  # of its volume: what a hull may have more than a body that is convex
TELL_S = 1.0

log = logging.getLogger(__name__)


def pieces(surface: Any, sha256: str, tolerance_mm: float, name: str) -> list[np.ndarray]:
    """Convex bodies that fill what a surface encloses; a hollow may be filled by up to the tolerance.

    Every body of a mesh is taken apart by itself, and one that is convex stays as it is, to the last corner.

    Args:
        surface: a closed trimesh.Trimesh, mm.
        sha256: of its file.
        tolerance_mm: as CoACD measures how far a piece is from convex.
        name: of the file, for who waits.

    Returns:
        The corners (n, 3) of each, mm.
    """
    settings = {**SETTINGS, "threshold": tolerance_mm, "real_metric": True}
    scale = [round(float(x), 6) for x in surface.extents]
    about = json.dumps([sha256, scale, settings, version("coacd"), version("trimesh")], sort_keys=True)
    kept = cache_dir() / "meshes" / f"{hashlib.sha256(about.encode()).hexdigest()}.json"
    with suppress(OSError, ValueError):
        return [np.array(piece, float).reshape(-1, 3) for piece in json.loads(kept.read_text())]
    began = time.monotonic()
    bodies = surface.split(only_watertight=True, repair=False)
    if not len(bodies) or min(body.volume for body in bodies) <= 0:  # a void inside a body is a surface of its own
        bodies = [surface]
    found = [piece for body in bodies for piece in _of_body(body, settings, name, len(surface.faces))]
    took_s = time.monotonic() - began
    if took_s > TELL_S:
        log.warning("%s: %d convex pieces in %.0f s, kept in %s", name, len(found), took_s, kept.parent)
    with suppress(OSError):  # without a cache it takes as long again
        write_json(kept, [piece.tolist() for piece in found])
    return found


def _of_body(body: Any, settings: dict[str, Any], name: str, triangles: int) -> list[np.ndarray]:
    hull = body.convex_hull
    if hull.volume - body.volume <= CONVEX * hull.volume:
        return [hull.vertices]
    import coacd

    coacd.set_log_level("off")
    found: list[Any] = []
    mesh = coacd.Mesh(body.vertices, body.faces)
    worker = threading.Thread(target=lambda: found.extend(coacd.run_coacd(mesh, **settings)), daemon=True)
    worker.start()  # a thread, so that Ctrl-C is heard while it works
    worker.join(TELL_S)
    if worker.is_alive():
        log.warning("%s: taking %d triangles apart into convex pieces, once", name, triangles)
    while worker.is_alive():
        worker.join(TELL_S)
    return [np.asarray(vertices) for vertices, _ in found]
