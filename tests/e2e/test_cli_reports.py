"""`check --report` writes every kind of report, and `map` draws with and without colour and Unicode."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from dumptruth.fixtures.app.cli import run_command

from .command_line import CommandLine


@pytest.fixture
def dumptruth(capsys: pytest.CaptureFixture[str], dumps: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """Runs a command line in the folder of the dumps."""
    monkeypatch.chdir(dumps)
    return CommandLine(capsys)


@pytest.fixture(scope="module")
def dumps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user dump, a broken copy, a kernel dump; each with its truth."""
    folder = tmp_path_factory.mktemp("dumps")
    for scenario, qualifier, name in (("null-read", "default", "user"), ("bugcheck-d1", "default", "kernel")):
        file, truth = folder / f"{name}.dmp", folder / name
        assert run_command(["dump", scenario, "-q", qualifier, "-o", str(file), "--truth", str(truth)]) == 0
    data = bytearray((folder / "user.dmp").read_bytes())
    data[-1] ^= 1
    (folder / "broken.dmp").write_bytes(data)
    return folder


def test_one_run_writes_every_kind_of_report(dumptruth: Any) -> None:
    kinds = {"html": "r.html", "json": "r.json", "junit": "r.xml", "sarif": "r.sarif", "text": "r.txt"}
    reports = [part for kind, path in kinds.items() for part in ("--report", f"{kind}={path}")]
    done = dumptruth("check", "broken.dmp", "--truth", "user", *reports)
    assert done.status == 1
    assert done.out.endswith("broken.dmp: NON_CONFORMANT\n")
    assert Path("r.txt").read_text(encoding="utf-8") == done.out
    assert json.loads(Path("r.json").read_text(encoding="ascii"))["outcome"] == "NON_CONFORMANT"
    assert ElementTree.parse("r.xml").getroot().attrib["failures"] == "1"
    (run,) = json.loads(Path("r.sarif").read_text(encoding="ascii"))["runs"]
    assert [result["ruleId"] for result in run["results"]] == ["PAGE-BYTES-001"]
    assert run["artifacts"][0]["location"]["uri"] == "broken.dmp"
    page = Path("r.html").read_text(encoding="ascii")
    assert page.startswith("<!DOCTYPE html>")
    assert "c wrong" in page
    assert b"\r" not in Path("r.html").read_bytes()


def test_reports_do_not_differ_between_runs(dumptruth: Any) -> None:
    for kind in ("html", "json", "junit", "sarif"):
        made = [dumptruth("check", "kernel.dmp", "--truth", "kernel", "--report", f"{kind}=-").out for _ in range(2)]
        assert made[0] == made[1]


@pytest.mark.parametrize("kind", ["html", "json", "junit", "sarif", "text"])
def test_a_dash_is_standard_output_and_nothing_else_is_printed_there(dumptruth: Any, kind: str) -> None:
    done = dumptruth("check", "user.dmp", "--truth", "user", "--report", f"{kind}=-")
    assert done.status == 0
    begins = {"html": "<!DOCTYPE", "json": "{", "junit": "<?xml", "sarif": "{", "text": ""}
    assert done.out.startswith(begins[kind])
    assert done.err == ""
    assert done.out.isascii()


def test_the_option_json_gives_the_json_report(dumptruth: Any) -> None:
    one = dumptruth("check", "user.dmp", "--json", "-").out
    assert one == dumptruth("check", "user.dmp", "--report", "json=-").out
    assert dumptruth("check", "user.dmp", "--json", "j.json", "--report", "html=-").out.startswith("<!DOCTYPE")
    assert Path("j.json").read_text(encoding="ascii") == one


@pytest.mark.parametrize("value", ["html", "html=", "pdf=a.pdf", "=a", "a.html"])
def test_an_unknown_kind_of_report_is_wrong_usage(dumptruth: Any, value: str) -> None:
    done = dumptruth("check", "user.dmp", "--report", value)
    assert done.status == 2
    assert done.out == ""
    assert done.err.count("\n") == 1
    assert "html, json, junit, sarif, text" in done.err


def test_two_reports_in_one_place_are_wrong_usage(dumptruth: Any) -> None:
    done = dumptruth("check", "user.dmp", "--report", "html=-", "--report", "json=-")
    assert done.status == 2
    assert "another report" in done.err


def test_a_report_that_cannot_be_written_is_one_line(dumptruth: Any) -> None:
    done = dumptruth("check", "user.dmp", "--report", "html=no/such/folder/r.html")
    assert done.status == 2
    assert done.err.count("\n") == 1


def test_a_map_names_the_contents_of_memory_and_file(dumptruth: Any) -> None:
    done = dumptruth("map", "user.dmp", "--truth", "user")
    assert done.status == 0
    assert "address space, one cell 4 KiB\n" in done.out
    assert "stack of thread" in done.out
    assert "ntdll.dll" in done.out
    assert "required" in done.out
    assert "stream 4 (ModuleListStream)" in done.out
    assert "wrong" not in done.out


def test_a_map_shows_faults_by_letters(dumptruth: Any) -> None:
    lines = dumptruth("map", "broken.dmp", "--truth", "user").out.splitlines()
    assert any(line.split()[:2] == ["W", "wrong"] for line in lines)
    assert any(line[:1] == "0" and line.endswith("W") for line in lines)
    lines = dumptruth("map", "user.dmp", "--truth", "user", "-q", "small").out.splitlines()
    assert any(line.split()[:2] == ["F", "forbidden"] for line in lines)


def test_a_map_of_a_kernel_dump_is_of_physical_memory(dumptruth: Any) -> None:
    out = dumptruth("map", "kernel.dmp", "--truth", "kernel").out
    assert out.startswith("physical memory, one cell ")
    assert "root page table" in out
    assert "left out" in out
    assert dumptruth("map", "kernel.dmp").out.startswith("physical memory, one cell 4 KiB; without a truth")


def test_a_map_as_json_holds_every_region(dumptruth: Any) -> None:
    document = json.loads(dumptruth("map", "user.dmp", "--truth", "user", "--json").out)
    assert document["memory"]["judged"]
    assert {region["state"] for region in document["memory"]["regions"]} == {"required"}
    (file,) = document["files"]
    assert file["regions"][0]["start"] == "0x0"
    assert int(file["regions"][-1]["end"], 16) == Path("user.dmp").stat().st_size
    held = sum(int(part["end"], 16) - int(part["start"], 16) for part in document["memory"]["regions"])
    assert held == sum(
        int(part["end"], 16) - int(part["start"], 16) for part in file["regions"] if part["part"] == "memory"
    )


def test_map_refuses_a_file_that_is_not_a_dump_and_a_request_without_truth(dumptruth: Any) -> None:
    done = dumptruth("map", "user/truth.json")
    assert (done.status, done.out) == (3, "")
    assert "a text file" in done.err
    assert dumptruth("map", "user.dmp", "-q", "small").status == 2
    assert dumptruth("map", "none.dmp").status == 2


@pytest.mark.parametrize(
    ("encoding", "extra"), [("utf-8", {}), ("ascii", {}), ("cp1252", {"NO_COLOR": "1"}), ("utf-8", {"NO_COLOR": "1"})]
)
def test_a_map_uses_only_characters_that_the_terminal_has(dumps: Path, encoding: str, extra: dict[str, str]) -> None:
    """Starts a real process. FORCE_COLOR stands for a terminal; NO_COLOR switches colour off."""
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "FORCE_COLOR", "NO_COLOR")}
    code = "from dumptruth.fixtures.app.start import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "map", "broken.dmp", "--truth", "user"],
        cwd=dumps,
        capture_output=True,
        check=True,
        env={**environment, "PYTHONIOENCODING": encoding, "FORCE_COLOR": "1", "TERM": "xterm-256color", **extra},
    )
    text = done.stdout.decode(encoding)
    assert done.stderr == b""
    assert text.isascii() == (encoding != "utf-8")
    assert ("\x1b[32m" in text) == ("NO_COLOR" not in extra)
    assert "W" in text
