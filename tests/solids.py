"""Meshes whose volumes are known by heart."""

from pathlib import Path

import numpy as np
import trimesh


def prism(outline_mm: list[tuple[float, float]], triangles: list[tuple[int, int, int]], y_mm: float) -> trimesh.Trimesh:
    """An outline in x and z, counter-clockwise, with its triangles, as thick as y about y = 0."""
    n, (x, z) = len(outline_mm), np.array(outline_mm, float).T
    corners = np.concatenate([np.column_stack([x, np.full(n, side * y_mm / 2), z]) for side in (-1, 1)])
    faces = [*triangles, *((a + n, c + n, b + n) for a, b, c in triangles)]
    for i, j in ((i, (i + 1) % n) for i in range(n)):
        faces += [(i, j + n, j), (i, i + n, j + n)]
    return trimesh.Trimesh(corners, faces)


def l_shape() -> trimesh.Trimesh:
    """60 mm long and high, 20 mm thick, 40 mm wide; its notch is beyond x = 20 and above z = 20."""
    outline = [(0, 0), (60, 0), (60, 20), (20, 20), (20, 60), (0, 60)]
    return prism(outline, [(0, 1, 2), (0, 2, 3), (0, 3, 4), (0, 4, 5)], 40)


def flanged() -> trimesh.Trimesh:
    """A block of 40 mm on a foot of 60 mm, each 30 mm high, 40 mm wide; the origin is the middle of its base."""
    outline = [(-30, 0), (30, 0), (30, 30), (20, 30), (20, 60), (-20, 60), (-20, 30), (-30, 30)]
    return prism(outline, [(0, 1, 2), (0, 2, 3), (0, 3, 6), (0, 6, 7), (3, 4, 5), (3, 5, 6)], 40)


def block(*size_mm: float) -> trimesh.Trimesh:
    """A box; the origin is the middle of its base."""
    box = trimesh.creation.box(size_mm)
    box.apply_translation((0, 0, size_mm[2] / 2))
    return box


def cell_with(folder: Path, base: str, text: str, **meshes: trimesh.Trimesh) -> Path:
    """A cell file that extends a shipped one, and beside it an STL for each mesh."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, mesh in meshes.items():
        mesh.export(folder / f"{name}.stl")
    path = folder / "cell.yaml"
    path.write_text(f"extends: {base}\n{text}")
    return path
