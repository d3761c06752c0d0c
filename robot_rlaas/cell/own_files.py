"""Arms, tools and hardware profiles of people's own: what stands in their files belongs to the meaning of a cell."""

import hashlib
from pathlib import Path
from xml.etree import ElementTree

from robot_rlaas.assets import data_dir, find
from robot_rlaas.cell.errors import InputError
from robot_rlaas.cell.extends import MENAGERIE
from robot_rlaas.cell.hardware import load_hardware
from robot_rlaas.files import sha256_file

FOLDERS = ("meshdir", "texturedir", "assetdir")  # attributes of an MJCF's compiler


def own_files(arm: str, tool: str, hardware: str) -> dict[str, str]:
    """SHA-256 of what stands behind those of the three that are paths; shipped names and Menagerie's stay out.

    A model's is over its file and all files that it names. A profile's is over its meaning.

    Raises:
        InputError: if a profile is wrong, or a file is not there.
    """
    found, assets = {}, data_dir("sim_assets")
    for key, reference, folder in (("arm", arm, assets / "arms"), ("tool", tool, assets / "tools")):
        if not reference.startswith(MENAGERIE):
            path = find(reference, folder, ".xml")
            if path.parent != folder:
                found[key] = _of_model(path)
    if find(hardware, data_dir("hardware"), ".yaml").parent != data_dir("hardware"):
        found["hardware"] = hashlib.sha256(load_hardware(hardware).model_dump_json().encode()).hexdigest()
    return found


def unchanged(arm: str, tool: str, hardware: str, then: dict[str, str]) -> None:
    """The files are still those with which a cell was read.

    Raises:
        InputError: naming the first that is not.
    """
    now = own_files(arm, tool, hardware) if then else {}
    for key, sha256 in then.items():
        if now.get(key) != sha256:
            named = {"arm": arm, "tool": tool, "hardware": hardware}[key]
            raise InputError(
                f"robot.{key} {named} is not what it was: its content has changed since",
                key=f"robot.{key}",
                fix="bring the old file back, or begin again with the cell as it is now",
            )


def _of_model(path: Path) -> str:
    """Over an MJCF or URDF and all files that it or what it includes names, whatever the folder it lies in."""
    models, elements = {path.name: path}, _elements(path)
    for element in elements:  # grows while included files are found
        name = element.get("file", "")
        if element.tag == "include" and name not in models and (path.parent / name).is_file():
            models[name] = path.parent / name
            elements += _elements(models[name])
    folders = [path.parent, *(path.parent / e.get(key, "") for e in elements if e.tag == "compiler" for key in FOLDERS)]
    digest = hashlib.sha256()
    for name in sorted({value for e in elements for key, value in e.items() if key.startswith("file")} | {path.name}):
        tried = (folder / part for part in (name, Path(name).name) for folder in folders)
        file = next((file for file in tried if file.is_file()), None)
        digest.update(f"{name}\0{sha256_file(file) if file else ''}\n".encode())
    return digest.hexdigest()


def _elements(path: Path) -> list[ElementTree.Element]:
    try:
        return list(ElementTree.parse(path).iter())
    except ElementTree.ParseError:  # whoever builds the model tells
        return []
