"""Meshes that a cell file names: an STL or OBJ as the convex pieces that collide, and what it weighs."""

import hashlib
import io
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field, PositiveFloat, WithJsonSchema

from robot_rlaas.cell import convex
from robot_rlaas.cell.errors import InputError, did_you_mean
from robot_rlaas.cell.explain import Location, Wrong, dotted
from robot_rlaas.cell.quantities import Triple
from robot_rlaas.cell.strict_yaml import Document, Spec

UNITS_MM = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "inch": 25.4}
FORMATS = (".stl", ".obj")
MOST_TRIANGLES = 50_000  # so many take about a minute to take apart
MOST_PIECES = 64
SMALLEST_MM, LARGEST_MM = 0.5, 3000.0  # of the longest side: what is beyond is in another unit
TOLERANCE_MM = 1.0
FLAT = 1e-9  # a face whose normal has less of an axis lies along it


class Mesh(Spec):
    """The content of a mesh file, in mm and in the file's own frame.

    Attributes:
        sha256: of the file.
        pieces: the corners of convex bodies that fill it to within the tolerance; they are what collides.
        low_mm, high_mm: the corners of its bounding box.
        volume_mm3: of the mesh itself.
        centroid_mm: its centre of mass.
        inertia_mm2: xx, yy, zz, xy, xz, yz about that, per unit of mass.
    """

    sha256: str
    pieces: tuple[tuple[Triple, ...], ...]
    low_mm: Triple
    high_mm: Triple
    volume_mm3: PositiveFloat
    centroid_mm: Triple
    inertia_mm2: tuple[float, float, float, float, float, float]

    @property
    def size_mm(self) -> tuple[float, float, float]:
        """Its extent in x, y and z."""
        x, y, z = (high - low for low, high in zip(self.low_mm, self.high_mm))
        return x, y, z


def _only_read(value: Any) -> Any:
    if not isinstance(value, Mesh | dict):
        raise ValueError("must be the path of an STL or OBJ file, relative to this file")
    return value


PathOfMesh = Annotated[Mesh, BeforeValidator(_only_read), WithJsonSchema({"type": "string"})]


class Meshed(Spec):
    """What has the shape of a mesh; `Obstacle` says what the keys mean."""

    mesh_unit: Literal["mm", "cm", "m", "inch"]
    mesh_tolerance_mm: PositiveFloat = TOLERANCE_MM
    mesh: PathOfMesh


class Housing(Meshed):
    """What a part in the hand has besides what goes into the hole: the housing of a plug, the flange of a pin.

    The origin of its mesh is the middle between the fingertips, its z axis goes to the part's tip. It collides; mass
    and inertia of the part stay those of the shape that goes into the hole.
    """


class Obstacle(Meshed):
    """Something that stands still in the cell, or on what may stand anyhow.

    The tool, what it holds and free parts collide with it; the links of the arm pass through. The safety filter does
    not know of it: put a box round it under `keep_out` where the tool must never go.

    `at_mm` is where the mesh's origin is, and `rpy_deg` turns its axes, as in a URDF: in the base frame, or in that of
    what it stands on. A plate's is in the middle of its hole at the upper face, or at the end of its shaft.

    Attributes:
        mesh: the path of an STL or OBJ file, relative to this file. Its origin and axes are kept.
        mesh_unit: of the numbers in the mesh file, which does not say it.
        mesh_tolerance_mm: by how much a hollow may be filled where the mesh is taken apart into convex pieces.
        on: "plate", or a fixture's name: it then moves with that.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    at_mm: Triple
    rpy_deg: Triple = (0.0, 0.0, 0.0)
    on: str | None = None


def have_a_place(obstacles: tuple[Obstacle, ...], taken: list[str], bearers: list[str]) -> None:
    """Every obstacle has a name that is not taken, and stands on the base or on what can bear it."""
    taken = [*taken]
    for i, obstacle in enumerate(obstacles):
        if obstacle.name in taken:
            raise Wrong(f"obstacles.{i}.name", "something else has that name", fix="give it another one")
        taken.append(obstacle.name)
        if obstacle.on is not None and obstacle.on not in bearers:
            reason = f"nothing can stand on it; allowed are {', '.join(bearers)}"
            raise Wrong(f"obstacles.{i}.on", reason, fix=did_you_mean(obstacle.on, bearers))


def with_meshes(document: Document) -> Document:
    """A cell file with the meshes read that its obstacles and parts name.

    Raises:
        InputError: if one cannot be used, with the line that names it.
    """
    content = dict(document.content)
    if "obstacles" in content:
        content["obstacles"] = _all_read(document, ("obstacles",), content["obstacles"])
    task = content.get("task")
    if isinstance(task, dict) and "parts" in task:
        content["task"] = task | {"parts": _all_read(document, ("task", "parts"), task["parts"])}
    elif isinstance(task, dict) and isinstance(task.get("part"), dict) and "housing" in task["part"]:
        housing = _read(document, ("task", "part", "housing"), task["part"]["housing"])
        content["task"] = task | {"part": task["part"] | {"housing": housing}}
    return document._replace(content=content)


def _all_read(document: Document, at: Location, things: Any) -> Any:
    return [_read(document, (*at, i), thing) for i, thing in enumerate(things)] if isinstance(things, list) else things


def _read(document: Document, at: Location, thing: Any) -> Any:
    """Something that may have a mesh, with its content. Left as it is if it is written wrongly: that is told later."""
    if not isinstance(thing, dict) or not isinstance(thing.get("mesh"), str):
        return thing
    unit, tolerance = thing.get("mesh_unit"), thing.get("mesh_tolerance_mm", TOLERANCE_MM)
    if unit not in UNITS_MM or isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or tolerance <= 0:
        return thing
    place = document.place(*at, "mesh")
    try:
        return thing | {"mesh": load_mesh(place.file.parent / thing["mesh"], unit, float(tolerance))}
    except InputError as error:
        message = f"{dotted((*at, 'mesh'))} {thing['mesh']}: {error.message}"
        raise InputError(message, **place._asdict(), fix=error.fix) from error


def reach_mm(mesh: Mesh, axis: int, *across: tuple[float, float]) -> tuple[float, float]:
    """From where to where a mesh's pieces reach along an axis, within a range of each of the other two, in order.

    Sampled on lines 1 mm apart or less. The upper end is below the lower one where there is nothing.
    """
    from scipy.spatial import ConvexHull  # not before a part is a mesh: it takes its time to load

    lines = np.array(list(product(*(np.linspace(low, high, 1 + int(np.ceil(high - low))) for low, high in across))))
    others, low, high = [i for i in range(3) if i != axis], np.inf, -np.inf
    for corners in mesh.pieces:
        faces = ConvexHull(corners).equations  # inside is where they are negative
        along, rest = faces[:, axis], lines @ faces[:, others].T + faces[:, 3]
        with np.errstate(divide="ignore", invalid="ignore"):
            ends = -rest / along
        enter = np.where(along < -FLAT, ends, -np.inf).max(axis=1)
        leave = np.where(along > FLAT, ends, np.inf).min(axis=1)
        met = (enter < leave) & ((np.abs(along) > FLAT) | (rest < 0)).all(axis=1)
        low, high = min([low, *enter[met]]), max([high, *leave[met]])
    return float(low), float(high)


def load_mesh(path: Path, unit: str, tolerance_mm: float) -> Mesh:
    """Read a mesh and take it apart into convex pieces.

    Args:
        path: of an STL, binary or text, or an OBJ.
        unit: of its numbers, one of UNITS_MM.
        tolerance_mm: by how much a hollow may be filled.

    Raises:
        InputError: if it cannot be read, is not the surface of a body, or is too large or too fine.
    """
    if path.suffix.lower() not in FORMATS:
        raise InputError(f"'{path.suffix}' is no mesh that can be read", fix=f"export it as {' or '.join(FORMATS)}")
    if not path.is_file():
        near = did_you_mean(path.name, [p.name for p in path.parent.glob("*")])
        raise InputError("there is no such file; its path is relative to this file", fix=near or "correct the path")
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    surface = _surface(content, path.suffix.lower()[1:])
    _of_a_body(surface)
    _of_a_size(surface.extents, unit)
    surface.apply_scale(UNITS_MM[unit])
    pieces = convex.pieces(surface, sha256, tolerance_mm, path.name)
    if len(pieces) > MOST_PIECES:
        message = f"within mesh_tolerance_mm {tolerance_mm:g} it takes {len(pieces)} convex pieces"
        fix = "allow a larger mesh_tolerance_mm, or leave out what nothing touches: threads, engravings, fillets"
        raise InputError(f"{message}; allowed are {MOST_PIECES}", fix=fix)
    inertia = surface.moment_inertia / surface.volume
    xx, yy, zz, xy, xz, yz = (round(float(inertia[i]), 4) for i in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)))
    return Mesh(
        sha256=sha256,
        pieces=tuple(_rounded(piece) for piece in pieces),
        low_mm=_rounded(surface.bounds)[0],
        high_mm=_rounded(surface.bounds)[1],
        volume_mm3=round(float(surface.volume), 3),
        centroid_mm=_rounded(surface.center_mass[None])[0],
        inertia_mm2=(xx, yy, zz, xy, xz, yz),
    )


def _surface(content: bytes, kind: str) -> Any:
    """A trimesh.Trimesh without equal corners."""
    import trimesh  # takes its time to load

    try:
        surface = trimesh.load_mesh(io.BytesIO(content), file_type=kind, skip_materials=True)
    except Exception as error:  # whatever its parser stumbles over
        raise InputError(f"not a {kind.upper()} file: {error}", fix="export it anew") from error
    if not isinstance(surface, trimesh.Trimesh) or len(surface.faces) == 0:
        raise InputError("it has no triangles", fix="export the body itself, not a sketch or an empty layer")
    if len(surface.faces) > MOST_TRIANGLES:
        message = f"it has {len(surface.faces):,} triangles; allowed are {MOST_TRIANGLES:,}"
        raise InputError(message, fix="export it with a coarser tolerance: 0.1 mm does for contacts")
    surface.merge_vertices(merge_tex=True, merge_norm=True)
    surface.update_faces(surface.nondegenerate_faces())
    return surface


def _of_a_body(surface: Any) -> None:
    edges, count = np.unique(surface.edges_sorted, axis=0, return_counts=True)
    wrong = int((count != 2).sum())
    if wrong:
        raise InputError(
            f"it is not closed: {wrong} of its {len(edges)} edges do not belong to exactly two triangles",
            fix="export one solid body, or repair it: FreeCAD's 'Analyze & repair mesh', MeshLab's 'Close Holes'",
        )
    if not surface.is_winding_consistent or surface.volume <= 0:
        raise InputError(
            "its triangles do not all face outwards",
            fix="turn its normals: FreeCAD's 'Harmonize normals', MeshLab's 'Re-Orient all faces coherently'",
        )


def _of_a_size(extents: np.ndarray, unit: str) -> None:
    longest = float(extents.max())
    if SMALLEST_MM <= longest * UNITS_MM[unit] <= LARGEST_MM:
        return
    fitting = [name for name, mm in UNITS_MM.items() if SMALLEST_MM <= longest * mm <= LARGEST_MM]
    sizes = ", ".join(f"{longest * UNITS_MM[name]:g} mm in {name}" for name in fitting)
    raise InputError(
        f"with mesh_unit {unit} it is {longest * UNITS_MM[unit]:g} mm long; allowed are {SMALLEST_MM:g} to "
        f"{LARGEST_MM:g} mm",
        fix=f"correct mesh_unit: it is {sizes}" if fitting else "export it in its true size",
    )


def _rounded(points_mm: np.ndarray) -> tuple[Triple, ...]:
    """To 1 um."""
    return tuple((x, y, z) for x, y, z in (np.round(points_mm, 3) + 0.0).tolist())
