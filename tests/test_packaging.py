"""What `colcon build` needs of the checkout."""

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
AS_COLCON = """
import ast, setuptools
from distutils.core import run_setup
found = run_setup('setup.py', script_args=('--dry-run',), stop_after='config')
for holder in (found, found.metadata):
    assert ast.literal_eval(repr(holder.python_requires)) == '<3.14,>=3.12'
print(found.get_name(), found.data_files)
"""


def test_colcon_can_read_the_setup() -> None:
    """It reads the evaluated setup.py as Python literals: a version specifier object would be a syntax error."""
    command = [sys.executable, "-W", "ignore", "-c", AS_COLCON]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("robot_rlaas")
    assert "share/ament_index/resource_index/packages" in result.stdout


def test_every_package_is_shipped() -> None:
    """The list in pyproject.toml is written by hand."""
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    there = {".".join(path.parent.relative_to(ROOT).parts) for path in ROOT.glob("robot_rlaas/**/__init__.py")}
    assert there <= set(listed)
