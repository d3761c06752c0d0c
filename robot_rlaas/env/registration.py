"""Makes the cells known to Gymnasium without importing it: Gymnasium 1.0 and later look for no plugins of their own."""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType


def announce() -> None:
    """Register the cells now if Gymnasium is loaded, else as soon as it is."""
    if "gymnasium" in sys.modules:
        register_cells()
    else:
        sys.meta_path.insert(0, _OnceGymnasiumIsImported())


def register_cells() -> None:
    """Register every shipped cell as rlaas/NAME-v0, and rlaas/cell-v0 for anybody's cell file."""
    from gymnasium import register

    from robot_rlaas.assets import data_dir

    single, vector = "robot_rlaas.env.gym:CellEnv", "robot_rlaas.env.gym:CellVectorEnv"
    register("rlaas/cell-v0", single, vector_entry_point=vector)
    for path in sorted((data_dir("sim_assets") / "cells").glob("*.yaml")):
        register(f"rlaas/{path.stem}-v0", single, vector_entry_point=vector, kwargs={"cell": path.stem})


class _OnceGymnasiumIsImported:
    """A finder on sys.meta_path: finds Gymnasium as the others do, and registers the cells when it has been executed.

    Looking Gymnasium up without importing it, as `importlib.util.find_spec` does, leaves everything as it was.
    """

    def find_spec(
        self, fullname: str, path: "Sequence[str] | None", target: "ModuleType | None" = None
    ) -> "ModuleSpec | None":
        if fullname != "gymnasium":
            return None
        others = (finder.find_spec(fullname, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((found for found in others if found is not None), None)
        if spec is None or spec.loader is None:
            return None
        loader, execute = spec.loader, spec.loader.exec_module

        def execute_and_register(module: "ModuleType") -> None:
            execute(module)
            loader.exec_module = execute
            sys.meta_path.remove(self)
            register_cells()

        loader.exec_module = execute_and_register
        return spec
