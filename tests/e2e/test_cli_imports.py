"""Imports of each command: help imports nothing heavy, and judging needs neither unicorn nor lief."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from dumptruth.fixtures.app.cli import run_command

HEAVY = ("lief", "unicorn", "rich", "dumptruth.oracle", "dumptruth.emu", "concurrent.futures.process", "numpy")
LIGHT = {"dumptruth.emu", "dumptruth.emu.errors"}
"""The base class of errors, which imports nothing."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    for name in ("small", "default"):
        arguments = ["dump", "null-read", "-q", name, "-o", f"{folder / name}.dmp", "--truth", str(folder / name)]
        assert run_command(arguments) == 0
    return folder


def _imported(command: list[str], *, absent: tuple[str, ...] = ()) -> tuple[int, set[str]]:
    """The exit status of ``command`` and the modules of HEAVY that it imports. Modules of ``absent`` are missing."""
    code = (
        "import json, sys\n"
        f"sys.modules.update(dict.fromkeys({absent!r}))\n"
        "from dumptruth.fixtures.app.cli import run_command\n"
        f"status = run_command({command!r})\n"
        "print('\\n' + json.dumps([status, [name for name, module in sys.modules.items() if module]]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    status, modules = json.loads(done.stdout.splitlines()[-1])
    loaded = set(modules) - LIGHT
    return status, {name for name in HEAVY if any(f"{module}.".startswith(f"{name}.") for module in loaded)}


@pytest.mark.parametrize(
    "command", [["--help"], ["demo", "--help"], ["dump", "--help"], ["check", "-h"], ["--version"]]
)
def test_help_imports_nothing_heavy(command: list[str]) -> None:
    assert _imported(command) == (0, set())


def test_identifying_and_judging_import_neither_machine_nor_loader(made: Path) -> None:
    for command in (["identify", f"{made / 'small.dmp'}"], ["check", f"{made / 'small.dmp'}"], ["rules"]):
        status, names = _imported(command)
        assert status == 0
        assert not names & {"lief", "unicorn"}, command


@pytest.mark.parametrize("name", ["small", "default"])
def test_judging_works_without_unicorn_and_lief(made: Path, name: str) -> None:
    command = ["check", f"{made / name}.dmp", "--truth", str(made / name)]
    assert _imported(command, absent=("lief", "unicorn"))[0] == 0


def test_explaining_works_without_unicorn_and_lief() -> None:
    assert _imported(["explain", "XCUT-REPLAY-001"], absent=("lief", "unicorn"))[0] == 0


def test_a_target_that_needs_a_missing_package_names_it_in_one_line(made: Path) -> None:
    code = (
        "import sys\n"
        "sys.modules['unicorn'] = None\n"
        "from dumptruth.fixtures.app.cli import run_command\n"
        "sys.exit(run_command(['run', 'null-read']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "unicorn" in done.stderr
    assert "not installed" in done.stderr
