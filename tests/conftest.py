"""Checks that the tests import this project's packages, and makes property tests repeatable in CI."""

from __future__ import annotations

import atexit
import importlib.metadata
import os
import shutil
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

import dumptruth.fixtures
import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent


def _is_ours(package_file: Path) -> bool:
    """Whether the imported package is this checkout's, or the installed distribution's when a wheel is under test."""
    if package_file.resolve() == ROOT / "fixtures" / "__init__.py":
        return True
    files = importlib.metadata.files("dumptruth") or []
    return any(Path(str(file.locate())).resolve() == package_file.resolve() for file in files)


# Other distributions are called `fixtures` and `emu` too. A test run against the wrong one proves nothing.
assert _is_ours(Path(str(dumptruth.fixtures.__file__))), (
    f"dumptruth.fixtures comes from {dumptruth.fixtures.__file__}, neither this checkout nor the dumptruth distribution"
)

# Tests start hundreds of processes. With PYTHONDONTWRITEBYTECODE each of them would compile the packages again, and
# each worker the tests. So all share a bytecode folder, which the first process makes and removes.
BYTECODE = "DUMPTRUTH_TESTS_BYTECODE"
if sys.dont_write_bytecode and "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ[BYTECODE] = tempfile.mkdtemp(prefix="dumptruth-bytecode-")
    atexit.register(shutil.rmtree, os.environ[BYTECODE], ignore_errors=True)
if BYTECODE in os.environ:
    sys.dont_write_bytecode, sys.pycache_prefix = False, os.environ[BYTECODE]


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Every second worker reads the folders backwards, so that a worker finds half of the tests compiled by another."""
    report = yield
    if isinstance(collector, pytest.Dir) and os.environ.get("PYTEST_XDIST_WORKER", "gw0")[-1] in "13579":
        report.result.reverse()
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the files into one order, which all workers must share."""
    items.sort(key=lambda item: item.path)


def pytest_collection_finish() -> None:
    """In the process that runs the tests: lets the processes that they start use the bytecode folder."""
    if BYTECODE in os.environ:
        os.environ["PYTHONPYCACHEPREFIX"] = os.environ[BYTECODE]
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


# xdist gives its workers a terminal width, at which tables would wrap.
os.environ.pop("COLUMNS", None)

# No deadline: machines that share their cores run some examples slowly.
settings.register_profile("local", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
# CI tries the same examples on every run, so that only a change can make a build fail.
settings.register_profile("ci", parent=settings.get_profile("local"), derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "local")
