"""The same scenario and request give the same bytes on any day, in any folder, with any hash seed and time zone."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys, time
skew = float(sys.argv[1])
now = time.time
time.time = lambda: now() + skew
time.time_ns = lambda: int((now() + skew) * 1e9)
from dumptruth.emu.debugger.client import DebugClient
from dumptruth.emu.scenarios.process import run_scenario
from dumptruth.emu.constants import Qualifier
client = DebugClient(run_scenario(sys.argv[2]))
assert client.WriteDumpFile("a.dmp", Qualifier.DEBUG_DUMP_SMALL) == 0, client.last_error
assert client.WriteDumpFile("b.dmp", Qualifier.DEBUG_DUMP_DEFAULT) == 0, client.last_error
"""


def _dump(folder: Path, scenario: str, skew_days: int, seed: str, zone: str) -> list[str]:
    folder.mkdir(parents=True)
    environment = {**os.environ, "PYTHONHASHSEED": seed, "TZ": zone}
    subprocess.run(
        [sys.executable, "-c", SCRIPT, str(86400 * skew_days), scenario], cwd=folder, env=environment, check=True
    )
    return [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("a.dmp", "b.dmp")]


@pytest.mark.parametrize("scenario", ["secondary-thread", pytest.param("deadlock", marks=pytest.mark.slow)])
def test_two_runs_on_different_days_in_different_folders_give_the_same_bytes(tmp_path: Path, scenario: str) -> None:
    today = _dump(tmp_path / "here", scenario, 0, "0", "UTC")
    later = _dump(tmp_path / "some" / "other place", scenario, 400, "12345", "America/Los_Angeles")
    assert today == later
