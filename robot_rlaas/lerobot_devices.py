"""LeRobot's devices by their names, those of installed plugins among them: what opens a leader arm or an arm."""

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any, NamedTuple

from robot_rlaas.cell.errors import InputError, did_you_mean

INSTALL = "pip install 'robot_rlaas[teleop]' for a gamepad or an SO-101; for another device, what LeRobot says"


class Family(NamedTuple):
    """One kind of LeRobot's devices: its package, the base of its configurations, its factory, and where keys go."""

    name: str
    package: str
    config: str
    factory: str
    keys: str


TELEOPERATORS = Family(
    *("teleoperator", "lerobot.teleoperators", "TeleoperatorConfig", "make_teleoperator_from_config"),
    keys="--device-option KEY=VALUE",
)
ROBOTS = Family(
    *("robot", "lerobot.robots", "RobotConfig", "make_robot_from_config"),
    keys="driver.options in the hardware profile",
)


def require_lerobot() -> None:
    """Raise an InputError if LeRobot is not there."""
    if find_spec("lerobot") is None:
        raise InputError("devices need lerobot", fix="pip install 'robot_rlaas[train,teleop]'")


def config_class(family: Family, name: str) -> Any:
    """LeRobot's class of a device's configuration.

    Raises:
        InputError: if LeRobot is not there, or does not know the name.
    """
    require_lerobot()
    from lerobot.utils.import_utils import register_third_party_plugins

    known = importlib.import_module(family.package)
    for module in pkgutil.iter_modules(known.__path__):
        if module.ispkg:
            importlib.import_module(f"{known.__name__}.{module.name}")
    register_third_party_plugins()
    kinds = getattr(known, family.config)
    names = sorted(kinds.get_known_choices())
    if name not in names:
        message = f"LeRobot has no {family.name} '{name}'; it has {', '.join(names)}"
        install = f"install the package lerobot_{family.name}_NAME"
        raise InputError(message, fix=did_you_mean(name, names) or install)
    return kinds.get_choice_class(name)


def made(family: Family, name: str, options: Mapping[str, Any]) -> Any:
    """LeRobot's object for a device, not connected yet.

    Raises:
        InputError: as `config_class`; if an option is wrong, a package is missing, or the device is not there.
    """
    kind = config_class(family, name)
    import draccus

    make = getattr(importlib.import_module(family.package), family.factory)
    try:
        return make(draccus.decode(kind, dict(options)))
    except ImportError as error:
        raise InputError(f"'{name}': {error}", fix=INSTALL) from error
    except draccus.utils.DraccusException as error:
        fields = ", ".join(inspect.signature(kind).parameters)
        raise InputError(f"'{name}': {error}", fix=f"{family.keys}; its keys are {fields}") from error
    except OSError as error:  # some open their port here
        raise silent(name, error) from error


def connect(name: str, device: Any) -> None:
    """Connect a device, asking nobody to calibrate it.

    Raises:
        InputError: if it does not answer, or a package is missing.
    """
    may_ask = "calibrate" in inspect.signature(device.connect).parameters
    try:
        device.connect(**({"calibrate": False} if may_ask else {}))
    except ImportError as error:
        raise InputError(f"'{name}': {error}", fix=INSTALL) from error
    except InputError:
        raise
    except (OSError, RuntimeError, ValueError) as error:  # LeRobot's own, the port's and the motors'
        raise silent(name, error) from error


def silent(name: str, error: Exception) -> InputError:
    """What to tell of a device that does not answer."""
    reason = " ".join(str(error).split())
    return InputError(f"'{name}' does not answer: {reason}", fix="plug it in, switch it on, name its port")
