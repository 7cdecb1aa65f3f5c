"""``vectors bless`` replaces the goldens by new ones, also after it was killed at any moment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from dumptruth.fixtures.app.blessing import replace_goldens
from dumptruth.fixtures.vectors import goldens

OLD = {"manifest.json": b"old", "a/same.dmp": b"same", "a/changed.dmp": b"old", "gone/b.dmp": b"gone"}
NEW = {"manifest.json": b"new", "a/same.dmp": b"same", "a/changed.dmp": b"new", "new/c.dmp": b"c"}

KILLED = """
import os, sys
from pathlib import Path
from dumptruth.fixtures.app import blessing

left = int(sys.argv[2])
def counted(event, arguments):
    # Each change of a name on the disk is a moment in which a kill can come.
    global left
    if event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir"):
        if left == 0:
            os._exit(9)
        left -= 1
sys.addaudithook(counted)
blessing.replace_goldens({new!r}, Path(sys.argv[1]))
"""


def held(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and not path.relative_to(folder).as_posix().startswith(".dumptruth-")
    }


def test_a_kill_leaves_old_or_new_goldens_or_none_that_pass_for_complete(tmp_path: Path) -> None:
    outcomes = []
    for moment in range(0, 60, 5):
        folder = tmp_path / str(moment)
        replace_goldens(OLD, folder)
        script = KILLED.replace("{new!r}", repr(NEW))
        done = subprocess.run([sys.executable, "-c", script, folder, str(moment)], check=False)
        found = held(folder)
        outcomes.append("old" if found == OLD else "new" if found == NEW else "neither")
        if outcomes[-1] == "neither":
            assert "manifest.json" not in found
            assert ("manifest.json", "missing") in goldens.difference(NEW, folder)
        replace_goldens(NEW, folder)
        assert held(folder) == NEW
        if done.returncode == 0:
            break
        assert done.returncode == 9
    assert outcomes[0] == "old"
    assert "neither" in outcomes
    assert outcomes[-1] == "new"


def test_a_failure_leaves_the_old_goldens(tmp_path: Path) -> None:
    replace_goldens(OLD, tmp_path)
    with pytest.raises(OSError, match="xxx"):
        replace_goldens({**NEW, "x" * 300: b"no file system allows this name"}, tmp_path)
    assert held(tmp_path) == OLD
    assert not list(tmp_path.glob(".dumptruth-*"))
