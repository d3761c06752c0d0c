"""The processes of `rlaas deploy`, under `ros2 launch`, on the ROS domain that the environment names.

ros2 launch robot_rlaas deploy.launch.py bundle:=runs/peg_insertion/bundle use_mock_hardware:=true
"""

from pathlib import Path

from launch.actions import DeclareLaunchArgument, ExecuteProcess, LogInfo, OpaqueFunction, Shutdown
from launch.substitutions import LaunchConfiguration

from launch import LaunchContext, LaunchDescription
from robot_rlaas.bundle import Trust, load_bundle
from robot_rlaas.bundle.trust import trusted_keys
from robot_rlaas.cell.hardware import Line
from robot_rlaas.deploy.plan import Process, plan
from robot_rlaas.deploy.ui import LOOPBACK, PORT, ui_at

ARGUMENTS = {
    "bundle": (None, "the bundle, a directory or a .zip"),
    "allow_unsigned": ("false", "true: take a bundle that nobody signed whom 'rlaas keys list' shows"),
    "out": ("deployment", "directory for log.mcap, counts and scores"),
    "attempts": ("10", "how many parts"),
    "use_mock_hardware": ("false", "true: a virtual arm; false: the arm whose driver runs in this ROS domain"),
    "plant": ("ur5e_worn", "how the virtual arm differs from the nominal one"),
    "seed": ("0", "which parts the virtual arm is given"),
    "domain": ("enforce", "tell: do not slow and hold an arm whose policy sees what it was not qualified on"),
    "perception": ("", "a perception file: how the camera of a real arm sees where the plate is"),
    "port": ("", "of a real arm that LeRobot drives, such as an SO-101; empty: as the hardware profile says"),
    "robot_id": ("", "LeRobot's name of that arm, whose calibration it takes; empty: as the hardware profile says"),
    "controller": ("", "forward or trajectory: what the arm is moved through; empty: as the hardware profile says"),
    "log_mb": ("", "megabytes after which the log goes on in a new file, log_0001.mcap and so on; empty: one file"),
    "ui": ("false", "true: a page in the browser that shows the arm and stops it"),
    "ui_port": (str(PORT), "of that page"),
    "ui_host": (LOOPBACK, "of that page; for other machines, with a token"),
}


def generate_launch_description() -> LaunchDescription:
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=processes)])


def processes(context: LaunchContext) -> list[LogInfo | ExecuteProcess]:
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    out = Path(given["out"]).resolve()
    bundle = load_bundle(given["bundle"], Trust(trusted_keys(), _true(given["allow_unsigned"])))
    planned = plan(
        bundle,
        out,
        attempts=int(given["attempts"]),
        arm="virtual" if _true(given["use_mock_hardware"]) else "real",
        plant=given["plant"],
        seed=int(given["seed"]),
        domain_id=None,
        domain=given["domain"],
        ui=ui_at(given["ui_host"], int(given["ui_port"])) if _true(given["ui"]) else None,
        perception=Path(given["perception"]) if given["perception"] else None,
        line=Line(given["port"], given["robot_id"], given["controller"]),
        log_mb=float(given["log_mb"]) if given["log_mb"] else None,
    )
    return [
        LogInfo(msg=f"bundle {bundle.manifest['name']}: {bundle.origin}"),
        *(_started(process, out) for process in planned),
    ]


def _started(process: Process, out: Path) -> ExecuteProcess:
    return ExecuteProcess(
        cmd=process.argv(out),
        name=process.name,
        additional_env=process.environment,
        output="screen",
        on_exit=Shutdown(),  # with the conductor the deployment ends, and without any of the others nothing goes on
    )


def _true(text: str) -> bool:
    return text.lower() == "true"
