"""A program that imports nothing of this project can use a folder of exported vectors."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from dumptruth.fixtures.app.cli import run_command

READER = Path(__file__).parent / "exported_vectors_reader.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("export") / "vectors"
    assert run_command(["vectors", "export", str(made), "--golden-only"]) == 0
    return made


def test_the_folder_holds_exactly_the_files_of_the_manifest(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    named = {"manifest.json", "README.md"}
    for vector in manifest["vectors"]:
        if vector["file"] is not None:
            named.add(vector["file"])
            data = (folder / vector["file"]).read_bytes()
            assert hashlib.sha256(data).hexdigest() == vector["sha256"], vector["name"]
        if vector["truth"] is not None:
            named |= {f"{vector['truth']}/{name}" for name in manifest["targets"][vector["target"]]["files"]}
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert there == named
    assert {vector["kind"] for vector in manifest["vectors"]} == {"valid", "invalid", "acceptable", "refused"}


def test_a_script_of_thirty_lines_that_imports_nothing_of_this_project_uses_it(folder: Path) -> None:
    source = READER.read_text(encoding="utf-8")
    assert len([line for line in source.splitlines() if line]) <= 30
    assert "dumptruth" not in source
    # -I: neither the environment nor the current folder can make this project importable.
    done = subprocess.run(
        [sys.executable, "-I", str(READER), str(folder)], capture_output=True, text=True, check=False, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["agrees"] > 50
    assert told["refused"] > 50
    assert told["read"] > 50


def test_the_script_detects_a_dump_of_another_target(folder: Path, tmp_path: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    vector = next(item for item in manifest["vectors"] if item["name"] == "user/small/null-read")
    manifest["targets"][vector["target"]]["facts"]["threads"][0]["thread_id"] ^= 4
    (tmp_path / "manifest.json").write_text(
        json.dumps({**manifest, "vectors": [vector]}), encoding="utf-8", newline="\n"
    )
    (tmp_path / vector["file"]).parent.mkdir(parents=True)
    (tmp_path / vector["file"]).write_bytes((folder / vector["file"]).read_bytes())
    done = subprocess.run(
        [sys.executable, "-I", str(READER), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "user/small/null-read: found" in done.stderr


def test_a_folder_that_is_not_empty_is_left_unchanged(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["vectors", "export", str(folder), "--golden-only"]) == 2
    assert "expected a new or empty folder" in capsys.readouterr().err
