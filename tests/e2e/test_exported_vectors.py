"""A program that imports nothing of this project can use a folder of exported vectors."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dumptruth.fixtures.app.cli import run_command
from dumptruth.fixtures.vectors import export

READER = Path(__file__).parent / "exported_vectors_reader.py"
PERFECT = Path(__file__).parent / "exported_facts_reader.py"
LICENCE = Path(__file__).resolve().parents[2] / "LICENSE"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("export") / "vectors"
    assert run_command(["vectors", "export", str(made), "--golden-only"]) == 0
    return made


def test_the_folder_holds_exactly_the_files_of_the_manifest(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    named = {"manifest.json", "README.md", "FACTS.md", "LICENSE"}
    for vector in manifest["vectors"]:
        if vector["file"] is not None:
            named.add(vector["file"])
            data = (folder / vector["file"]).read_bytes()
            assert hashlib.sha256(data).hexdigest() == vector["sha256"], vector["name"]
            if manifest["readers"][vector["why"]]["facts"]:
                named.add(vector["facts_file"])
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


def test_patterns_choose_the_vectors_and_size_and_licence_are_told_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = tmp_path / "small"
    assert run_command(["vectors", "export", str(there), "cab/sm*", "hostile/user/streams-0", "--golden-only"]) == 0
    first, licence, last = capsys.readouterr().out.splitlines()
    assert first.startswith("2 vectors: 2 dumps of ")
    assert licence == "Licence: Apache License, Version 2.0, January 2004"
    assert last.startswith("2 vectors of 2 targets")
    manifest = json.loads((there / "manifest.json").read_text(encoding="utf-8"))
    assert [vector["name"] for vector in manifest["vectors"]] == ["cab/small", "hostile/user/streams-0"]
    assert (there / "cab" / "small.facts.json").is_file()
    assert not (there / "hostile" / "user" / "streams-0.facts.json").exists()
    assert (there / "LICENSE").read_bytes() == LICENCE.read_bytes()


def test_an_installation_finds_the_licence_in_its_metadata(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "__file__", str(tmp_path / "fixtures" / "vectors" / "export.py"))
    name, path = export.licence()
    assert name == "Apache License, Version 2.0, January 2004"
    assert path.read_bytes() == LICENCE.read_bytes()
    monkeypatch.setattr(export, "files", lambda _package: None)
    with pytest.raises(export.LicenceError, match="the licence of the vectors is missing"):
        export.licence()


def test_a_chosen_vector_is_built_with_its_facts_and_truth(tmp_path: Path) -> None:
    there = tmp_path / "built"
    assert run_command(["vectors", "export", str(there), "kernel/full-ranges/synthetic", "-j1"]) == 0
    facts = json.loads((there / "kernel/full-ranges/synthetic.facts.json").read_text(encoding="utf-8"))["facts"]
    truth = json.loads((there / "truth" / "machine" / "truth.json").read_text(encoding="utf-8"))
    assert len(facts["processors"]) == len(truth["processors"]) > 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["no/such/*", "--golden-only"], "no vector matches 'no/such/*'"),
        (["user/large/*"], "no vector matches 'user/large/*'"),
    ],
)
def test_a_pattern_that_matches_nothing_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert run_command(["vectors", "export", str(tmp_path / "x"), *words]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_a_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["vectors", "export", str(tmp_path / "x"), "--dry-run"]) == 0
    assert "Licence: " in capsys.readouterr().out
    assert not (tmp_path / "x").exists()


def test_a_full_disk_is_told_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _place: usage)
    assert run_command(["vectors", "export", str(tmp_path / "x"), "--golden-only"]) == 2
    assert "the disk has 1.0 MiB left" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


CASES = ("cab/*", "user/acceptable/*", "hostile/*/*-0", "invalid/mdmp-l*", "kernel/ram/type-1*", "by-hand/*")


def _conform(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    chosen = [word for case in CASES for word in ("--case", case)]
    reader = f'"{sys.executable}" "{PERFECT}"'
    capsys.readouterr()
    status = run_command(
        ["conform", "--reader", reader, "--persistent", "--strict", "--vectors", str(folder), *chosen, "--json", "-"]
    )
    return status, json.loads(capsys.readouterr().out)


def test_a_reader_that_reports_the_exported_facts_passes_the_strict_run(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, results = _conform(folder, capsys)
    assert (status, results["failing"]) == (0, 0)
    assert results["verdicts"]["agrees"] > 15
    assert results["verdicts"]["refuses"] > 5


def test_one_wrong_fact_or_one_dump_that_must_be_rejected_fails_it(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = tmp_path / "vectors"
    shutil.copytree(folder, there)
    (facts,) = there.glob("by-hand/rich.facts.json")
    document = json.loads(facts.read_text(encoding="utf-8"))
    document["facts"]["threads"][0]["teb"] = "0x1"
    facts.write_text(json.dumps(document), encoding="utf-8")
    shutil.copyfile(facts, there / "hostile" / "user" / "streams-0.facts.json")
    status, results = _conform(there, capsys)
    assert status == 1
    assert {result["case"]: result["verdict"] for result in results["results"] if not result["ok"]} == {
        "by-hand/rich": "misreads", "hostile/user/streams-0": "accepts",
    }  # fmt: skip


def test_a_folder_that_is_not_empty_is_left_unchanged(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["vectors", "export", str(folder), "--golden-only"]) == 2
    assert "expected a new or empty folder" in capsys.readouterr().err
