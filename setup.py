"""What ament_python needs beside pyproject.toml: the package's marker, its manifest and its launch files."""

from setuptools import setup

distribution = setup(
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/robot_rlaas"]),
        ("share/robot_rlaas", ["package.xml"]),
        ("share/robot_rlaas/launch", ["launch/deploy.launch.py"]),
    ]
)
for holder in (distribution, distribution.metadata):  # colcon reads both as Python literals
    holder.python_requires = str(holder.python_requires)
