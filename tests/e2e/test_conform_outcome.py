"""What ``dumptruth conform`` leaves for the user to act on: findings, reports, kept cases, and an early end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dumptruth.fixtures.app.cli import run_command
from dumptruth.oracle import check, load_any_truth, load_request
from junitparser import JUnitXml

SMALL, COMMENT, HOSTILE = "user/small/synthetic", "user/small/synthetic/comment", "user/hostile/no-version"
KEPT = "user.small.synthetic"
READER = """
import json, struct, sys
for line in sys.stdin:
    asked = json.loads(line)
    if asked["case"].startswith("kernel"):
        said = {"result": "skipped", "reason": "only minidumps"}
    else:
        data = open(asked["file"], "rb").read()
        count, at = struct.unpack_from("<II", data, 8)
        (rva,) = [rva for kind, _, rva in struct.iter_unpack("<III", data[at : at + 12 * count]) if kind == 3]
        (threads,) = struct.unpack_from("<I", data, rva)
        ids = [struct.unpack_from("<I", data, rva + 4 + 48 * index)[0] for index in range(threads)]
        ids = [{"thread_id": thread_id, "teb": 5} for thread_id in ids]
        print("looked at", asked["case"], file=sys.stderr)
        said = {"result": "read", "facts": {"threads": ids, "architecture": "amd64"}}
    print(json.dumps({"case": asked["case"]} | said), flush=True)
"""
WRITER = """
import json
asked = json.loads(input())
open(asked["output"], "wb").write(b"MDMP" + bytes(60))
print(json.dumps({"case": asked["case"], "result": "written"}))
"""


class Conform:
    """Runs the command on a command of a few lines of Python."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._folder = folder
        self._capsys = capsys
        self.status = 0
        self.out = self.err = ""
        self.command: list[str] = []

    def __call__(self, code: str, *options: str, role: str = "--reader") -> list[str]:
        """The lines of standard output."""
        script = self._folder / "command.py"
        script.write_text(code, encoding="utf-8")
        self.command = [sys.executable, "-I", "-S", str(script)]
        self.status = run_command(["conform", role, f'"{sys.executable}" -I -S "{script}"', *options])
        self.out, self.err = self._capsys.readouterr()
        return self.out.splitlines()


@pytest.fixture
def conform(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Conform:
    monkeypatch.chdir(tmp_path)
    return Conform(tmp_path, capsys)


def test_the_first_finding_of_each_fact_is_printed_and_all_on_request(conform: Conform) -> None:
    lines = conform(READER, "--case", SMALL)
    assert conform.status == 1
    assert lines[0] == f"FAIL {SMALL}: misreads: threads 0x1238 teb: expected 0x1100001000, read 0x5 (1 more)"
    assert lines[1] == "1 more finding of the same rules or facts: --all-findings"
    assert lines[2] == "misread: threads.teb (in 1 case)"
    lines = conform(READER, "--case", SMALL, "--all-findings")
    assert lines[:2] == [
        f"FAIL {SMALL}: misreads: threads 0x1238 teb: expected 0x1100001000, read 0x5",
        "     threads 0x123c teb: expected 0x1100003000, read 0x5",
    ]


def test_reasons_of_skipped_cases_are_grouped(conform: Conform) -> None:
    lines = conform(READER, "--case", HOSTILE, "--case", "kernel/small/*")
    skipped = next(line for line in lines if line.startswith("skipped"))
    assert skipped.endswith(" cases: only minidumps (kernel/small/bugcheck-d1, ...)")


def test_a_failing_case_of_a_reader_is_kept_and_can_be_asked_again(conform: Conform, tmp_path: Path) -> None:
    lines = conform(READER, "--case", SMALL, "--case", COMMENT, "--case", HOSTILE, "--keep", "kept")
    assert "kept in kept: 2 failing cases" in lines
    assert sorted(path.name for path in Path("kept").iterdir()) == [KEPT, f"{KEPT}.comment"]
    kept = tmp_path / "kept" / KEPT
    names = {path.name for path in kept.iterdir()}
    assert names == {"answer.json", "message.json", "result.json", "stderr.txt", "dump.dmp", "truth"}
    result = json.loads((kept / "result.json").read_text(encoding="utf-8"))
    assert (result["case"], result["verdict"], result["wrong"]) == (SMALL, "misreads", ["threads.teb"])
    assert f"looked at {SMALL}" in (kept / "stderr.txt").read_text(encoding="utf-8")
    report = check(kept / "dump.dmp", truth=load_any_truth(kept / "truth"), request=load_request(kept / "truth"))
    assert report.outcome == "CONFORMANT"
    asked = subprocess.run(
        conform.command, input=(kept / "message.json").read_bytes(), capture_output=True, check=True
    ).stdout
    assert json.loads(asked) == json.loads((kept / "answer.json").read_bytes())


def test_a_kept_case_disappears_when_it_no_longer_fails_and_other_folders_are_left(conform: Conform) -> None:
    conform(READER, "--case", SMALL, "--keep", "kept")
    mended = READER.replace(', "teb": 5', "")
    lines = conform(mended, "--case", SMALL, "--keep", "kept")
    assert conform.status == 0
    assert not any("kept" in line for line in lines)
    assert list(Path("kept").iterdir()) == []
    (Path("kept") / KEPT).mkdir()
    conform(READER, "--case", SMALL, "--keep", "kept")
    assert (conform.status, conform.err.count("\n")) == (2, 1)
    assert "exists, and is no folder of --keep" in conform.err
    assert [path.name for path in Path("kept").iterdir()] == [KEPT]


def test_a_failing_case_of_a_writer_is_kept_with_the_file_that_it_wrote(conform: Conform) -> None:
    lines = conform(WRITER, "--case", SMALL, "--keep", "kept", role="--writer")
    assert conform.status == 1
    kept = Path("kept") / KEPT
    assert (kept / "dump.dmp").read_bytes() == b"MDMP" + bytes(60)
    message: dict[str, Any] = json.loads((kept / "message.json").read_text(encoding="utf-8"))
    assert Path(message["output"]) == (kept / "dump.dmp").absolute()
    assert Path(message["truth"]) == (kept / "truth").absolute()
    assert {path.name for path in (kept / "truth").iterdir()} == {"truth.json", "memory.bin", "request.json"}
    assert sum(line.startswith(("FAIL", "     ")) for line in lines) > 1
    rules = [line.split()[0] for line in lines if line.startswith("     ")]
    assert len(rules) == len(set(rules))


def test_a_dump_that_kills_a_plain_reader_is_kept_with_its_last_words(conform: Conform) -> None:
    conform("raise SystemExit('my last words')", "--plain", "--case", HOSTILE, "--keep", "kept")
    assert conform.status == 0  # status 1 is a rejection
    conform("import sys; print('my last words', file=sys.stderr); sys.exit(3)", "--plain", "--case", HOSTILE,
            "--keep", "kept")  # fmt: skip
    kept = Path("kept") / "user.hostile.no-version"
    assert {path.name for path in kept.iterdir()} == {"dump.dmp", "result.json", "stderr.txt"}
    assert (kept / "stderr.txt").read_text(encoding="utf-8").splitlines() == ["my last words"]


def test_the_same_options_as_of_check_write_reports(conform: Conform) -> None:
    reports = {"junit": "out.xml", "sarif": "out.sarif", "html": "out.html", "json": "out.json", "text": "out.txt"}
    options = [word for kind, name in reports.items() for word in ("--report", f"{kind}={name}")]
    lines = conform(READER, "--case", SMALL, "--case", HOSTILE, *options)
    assert Path("out.txt").read_text(encoding="utf-8").splitlines() == lines
    assert JUnitXml.fromfile("out.xml").failures == 1
    assert json.loads(Path("out.json").read_text(encoding="utf-8"))["failing"] == 1
    (run,) = json.loads(Path("out.sarif").read_text(encoding="utf-8"))["runs"]
    assert {result["ruleId"] for result in run["results"]} == {"fact/threads.teb"}
    page = Path("out.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert "expected 0x1100001000, read 0x5" in page.replace("<wbr>", "")
    lines = conform(READER, "--case", SMALL, "--report", "junit=-")
    assert lines[0] == '<?xml version="1.0" encoding="utf-8"?>'


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (["--report", "pdf=x"], "expected KIND=FILE"),
        (["--report", "html=none/x.html"], "none/x.html: its folder does not exist"),
        (["--json", "none/x.json"], "none/x.json: its folder does not exist"),
        (["--jobs", "0"], "Invalid value"),
    ],
)
def test_a_report_that_cannot_be_written_is_told_before_the_run(conform: Conform, option: list[str], told: str) -> None:
    conform("raise SystemExit(9)", *option)
    assert (conform.status, conform.out, conform.err.count("\n")) == (2, "", 1)
    assert told in conform.err


def test_a_command_that_dies_at_once_ends_the_run_with_one_line(conform: Conform) -> None:
    conform("import no_such_module", "--case", "user/small/*", "--report", "json=out.json")
    assert (conform.status, conform.out, conform.err.count("\n")) == (2, "", 1)
    assert "dies at each of 5 cases with the same words: ended with status 1: ModuleNotFoundError" in conform.err
    assert " other cases were not run" in conform.err
    assert not Path("out.json").exists()
    conform("print('hello')", "--case", "user/small/*")
    assert (conform.status, conform.err.count("\n")) == (2, 1)
    assert "--plain tests a reader without protocol" in conform.err
