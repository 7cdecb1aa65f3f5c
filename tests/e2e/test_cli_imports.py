"""Imports of each command: help imports nothing heavy, and judging needs neither unicorn nor lief."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from dumptruth.fixtures.app.cli import run_command

HEAVY = ("lief", "unicorn", "rich", "dumptruth.oracle", "dumptruth.emu", "concurrent.futures.process", "numpy")
LIGHT = {"dumptruth.emu", "dumptruth.emu.errors", "dumptruth.emu.placing"}
"""The base class of errors, and temporary files: both import the standard library only."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    for name in ("small", "default"):
        arguments = ["dump", "null-read", "-q", name, "-o", f"{folder / name}.dmp", "--truth", str(folder / name)]
        assert run_command(arguments) == 0
    return folder


def _imported(commands: list[list[str]], *, absent: tuple[str, ...] = ()) -> list[tuple[int, set[str]]]:
    """For each command its exit status, and the modules of HEAVY that it and those before it import.

    Modules of ``absent`` are missing.
    """
    code = (
        "import json, sys\n"
        f"sys.modules.update(dict.fromkeys({absent!r}))\n"
        "from dumptruth.fixtures.app.cli import run_command\n"
        f"for command in {commands!r}:\n"
        "    status = run_command(command)\n"
        "    print('\\nDONE ' + json.dumps([status, [name for name, module in sys.modules.items() if module]]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr
    found = []
    for line in done.stdout.splitlines():
        if line.startswith("DONE "):
            status, modules = json.loads(line.removeprefix("DONE "))
            loaded = set(modules) - LIGHT
            names = {name for name in HEAVY if any(f"{module}.".startswith(f"{name}.") for module in loaded)}
            found.append((status, names))
    return found


def test_help_imports_nothing_heavy() -> None:
    commands = [["--help"], ["demo", "--help"], ["dump", "--help"], ["check", "-h"], ["--version"]]
    assert _imported(commands) == [(0, set())] * len(commands)


def test_identifying_and_judging_import_neither_machine_nor_loader(made: Path) -> None:
    done = _imported([["identify", f"{made / 'small.dmp'}"], ["check", f"{made / 'small.dmp'}"], ["rules"]])
    assert [(status, names & {"lief", "unicorn"}) for status, names in done] == [(0, set())] * 3


def test_judging_and_explaining_work_without_unicorn_and_lief(made: Path) -> None:
    commands = [["check", f"{made / name}.dmp", "--truth", str(made / name)] for name in ("small", "default")]
    commands.append(["explain", "XCUT-REPLAY-001"])
    done = _imported(commands, absent=("lief", "unicorn"))
    assert [status for status, _ in done] == [0, 0, 0]


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
