"""``conform`` survives whatever a command does to its file, its truth and its folder, and keeps the other results."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from dumptruth.oracle.conform import Command, Limits, Options, WriterCase, load_writer_cases, run_writer
from dumptruth.oracle.conform.results import Verdict
from dumptruth.oracle.vectors import load_vectors, packaged

if sys.platform == "win32":
    pytest.skip("Windows has no FIFOs, and processes leave no group", allow_module_level=True)

from dumptruth.fixtures.drill.commands import PEER
from dumptruth.fixtures.drill.peer import MODES

FAILS = {
    "fifo": "is a FIFO",
    "folder": "is a folder",
    "device": "is a device",
    "loop": "Too many levels of symbolic links",
    "dangling": "No such file",
    "sparse": "",
    "unreadable": "",
    "shrinks": "",
    "grows": "",
    "replaced": "",
    "removed": "",
    "becomes-fifo": "",
    "spoils-truth": "",
    "removes-folder": "No such file",
}
"""Modes of the drill's peer after which the case fails, and words of the reason."""
DIES = {"deaf": Verdict.DIES, "endless": Verdict.DIES, "killed": Verdict.DIES, "cut": Verdict.BREAKS}


@pytest.fixture
def cases(tmp_path: Path) -> list[WriterCase]:
    """One case, on a copy of its truth: the peer spoils it."""
    vector = next(
        one for one in load_vectors(packaged()) if one.path and one.truth_folder and one.name.startswith("user/small/")
    )
    assert vector.truth_folder is not None
    folder = tmp_path / "vectors"
    shutil.copytree(vector.truth_folder, folder / vector.truth_folder.relative_to(packaged()))
    shutil.copyfile(packaged() / "manifest.json", folder / "manifest.json")
    return [case for case in load_writer_cases(folder) if case.name == vector.name]


@pytest.mark.parametrize("mode", sorted(MODES))
def test_a_hostile_writer_fails_its_case_and_nothing_else(mode: str, cases: list[WriterCase]) -> None:
    limits = Limits(2.0 if mode in ("deaf", "endless") else 60.0)
    (result,) = run_writer(Command((sys.executable, str(PEER), mode), limits), cases, Options()).results
    assert not result.ok
    if mode in FAILS:
        assert result.verdict is Verdict.FAILS
        assert FAILS[mode] in " ".join(result.lines())
    else:
        assert result.verdict is DIES.get(mode, Verdict.REFUSES)
