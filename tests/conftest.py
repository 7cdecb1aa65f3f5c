"""What every test relies on: the packages under test are this project's, and property tests are repeatable in CI."""

from __future__ import annotations

import atexit
import importlib.metadata
import os
import shutil
import sys
import tempfile
from pathlib import Path

import dumptruth.fixtures
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent


def _is_ours(package_file: Path) -> bool:
    """Whether the imported package is this checkout's, or the installed distribution's when a wheel is under test."""
    if package_file.resolve() == ROOT / "fixtures" / "__init__.py":
        return True
    files = importlib.metadata.files("dumptruth") or []
    return any(Path(str(file.locate())).resolve() == package_file.resolve() for file in files)


# `fixtures` and `emu` are also names of other people's distributions: a test run against the wrong one proves nothing.
assert _is_ours(Path(str(dumptruth.fixtures.__file__))), (
    f"dumptruth.fixtures comes from {dumptruth.fixtures.__file__}, neither this checkout nor the dumptruth distribution"
)

# Where no bytecode may be written, each of the hundreds of processes that tests start would compile the packages anew:
# theirs is kept in a folder of the first process, which all workers share and which goes with it.
BYTECODE = "DUMPTRUTH_TESTS_BYTECODE"
if sys.dont_write_bytecode and "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ[BYTECODE] = tempfile.mkdtemp(prefix="dumptruth-bytecode-")
    atexit.register(shutil.rmtree, os.environ[BYTECODE], ignore_errors=True)


def pytest_collection_finish() -> None:
    """In the process that runs tests: where a process of a test finds and leaves its bytecode."""
    if BYTECODE in os.environ:
        os.environ["PYTHONPYCACHEPREFIX"] = os.environ[BYTECODE]
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


# The workers of a parallel run are told a terminal width that is not there: tables would fold.
os.environ.pop("COLUMNS", None)

# No deadline: the machines that run this share their cores, and a slow example is not a wrong one.
settings.register_profile("local", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# In CI the same examples are tried on every run, so that a red build is a change and never a lucky draw.
settings.register_profile("ci", parent=settings.get_profile("local"), derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "local")
