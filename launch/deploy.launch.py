"""The processes of `rlaas deploy`, under `ros2 launch`, on the ROS domain that the environment names.

ros2 launch robot_rlaas deploy.launch.py bundle:=runs/peg_insertion/bundle use_mock_hardware:=true
"""

from pathlib import Path

from launch.actions import DeclareLaunchArgument, ExecuteProcess, OpaqueFunction, Shutdown
from launch.substitutions import LaunchConfiguration

from launch import LaunchContext, LaunchDescription
from robot_rlaas.bundle import load_bundle
from robot_rlaas.deploy.plan import plan

ARGUMENTS = {
    "bundle": (None, "directory of the bundle"),
    "out": ("deployment", "directory for log.mcap, counts and scores"),
    "attempts": ("10", "how many parts"),
    "use_mock_hardware": ("false", "true: a virtual arm; false: the arm whose driver runs in this ROS domain"),
    "plant": ("ur5e_worn", "how the virtual arm differs from the nominal one"),
    "seed": ("0", "which parts the virtual arm is given"),
}


def generate_launch_description() -> LaunchDescription:
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    return LaunchDescription([*declared, OpaqueFunction(function=processes)])


def processes(context: LaunchContext) -> list[ExecuteProcess]:
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    out = Path(given["out"]).resolve()
    planned = plan(
        load_bundle(given["bundle"]),
        out,
        attempts=int(given["attempts"]),
        arm="virtual" if given["use_mock_hardware"].lower() == "true" else "real",
        plant=given["plant"],
        seed=int(given["seed"]),
        domain_id=None,
    )
    return [
        ExecuteProcess(
            cmd=process.argv(out),
            name=process.name,
            additional_env=process.environment,
            output="screen",
            on_exit=Shutdown() if process.name == "conductor" else None,
        )
        for process in planned
    ]
