"""`check`, `identify` and `map` on many files: one result for all, and an exit status that is the worst of all."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import Any
from xml.etree import ElementTree

import pytest
from dumptruth.fixtures.app.many.workers import Failed, run
from dumptruth.oracle import ByteSource, Outcome
from dumptruth.oracle.vectors import packaged

from ..unit.schemas import validator
from .command_line import CommandLine

SOUND, BROKEN = "by-hand/rich.dmp", "hostile/user/threads-2-32.dmp"
KERNEL = "by-hand/kernel-special.dmp"
RULE = "MDMP-THREAD-001"


@pytest.fixture
def folder(dumptruth: CommandLine) -> Path:
    """Two sound dumps, a broken one in a folder below, and a text; the parent is the current folder."""
    for name, to in ((SOUND, "rich.dmp"), (KERNEL, "kernel.dmp"), (BROKEN, "deep/broken.dmp")):
        target = Path("d") / to
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(packaged() / name, target)
    Path("d/readme.txt").write_text("a text", encoding="utf-8")
    return Path("d")


def test_a_folder_is_judged_as_a_whole(dumptruth: CommandLine, folder: Path) -> None:
    done = dumptruth("check", folder)
    assert done.status == 1
    rows = [line.split()[:3] for line in done.out.splitlines()[2:5]]
    assert rows == [
        ["d/kernel.dmp", "CONFORMANT"],
        ["d/rich.dmp", "CONFORMANT"],
        ["d/deep/broken.dmp", "NON_CONFORMANT", RULE],
    ]
    assert "stream 3 (ThreadListStream): DataSize 52, expected DataSize" in done.out
    assert "1 other file in the folders, no dump" in done.out
    assert done.out.endswith("3 files: NON_CONFORMANT (2 conformant, 1 not conformant)\n")
    assert "d/readme.txt" in dumptruth("check", folder, "--all").out


def test_the_report_of_all_files_fits_its_schema_and_holds_the_report_of_each(
    dumptruth: CommandLine, folder: Path
) -> None:
    document = dumptruth("check", folder, "--json").json()
    validator("reports-1.json").validate(document)
    assert (document["outcome"], document["exit_status"]) == ("NON_CONFORMANT", 1)
    counts = {"CONFORMANT": 2, "NON_CONFORMANT": 1}
    assert document["counts"] == {str(outcome): counts.get(str(outcome), 0) for outcome in Outcome}
    assert document["no_dump"] == ["d/readme.txt"]
    for entry in document["files"]:
        assert entry["report"] == dumptruth("check", entry["path"], "--json").json()


def test_processes_change_nothing(dumptruth: CommandLine, folder: Path) -> None:
    kinds = ("json", "junit", "sarif", "text")
    for jobs in (1, 3):
        reports = [word for kind in kinds for word in ("--report", f"{kind}={kind}{jobs}")]
        assert dumptruth("check", folder, "-j", jobs, *reports).status == 1
    for kind in kinds:
        assert Path(f"{kind}1").read_bytes() == Path(f"{kind}3").read_bytes()


def test_junit_and_sarif_hold_all_files(dumptruth: CommandLine, folder: Path) -> None:
    dumptruth("check", folder, "--report", "junit=j.xml", "--report", "sarif=s.sarif")
    suites = ElementTree.parse("j.xml").getroot()
    assert [suite.attrib["name"] for suite in suites] == ["d/kernel.dmp", "d/rich.dmp", "d/deep/broken.dmp"]
    for name in ("tests", "failures", "errors", "skipped"):
        assert int(suites.attrib[name]) == sum(int(suite.attrib[name]) for suite in suites)
    assert suites.attrib["failures"] == "1"
    (run,) = json.loads(Path("s.sarif").read_text(encoding="ascii"))["runs"]
    assert [artifact["location"]["uri"] for artifact in run["artifacts"]] == [suite.attrib["name"] for suite in suites]
    (result,) = run["results"]
    place = result["locations"][0]["physicalLocation"]["artifactLocation"]
    assert place == {"uri": "d/deep/broken.dmp", "index": 2}
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == RULE
    assert [one["exitCode"] for one in run["invocations"]] == [0, 0, 1]


def test_html_is_an_index_with_a_page_for_each_dump(dumptruth: CommandLine, folder: Path) -> None:
    assert dumptruth("check", folder, "--report", "html=out.html").status == 1
    index = Path("out.html").read_text(encoding="ascii")
    pages = sorted(Path("out_files").iterdir())
    assert [page.name for page in pages] == ["1-kernel.dmp.html", "2-rich.dmp.html", "3-broken.dmp.html"]
    for page in pages:
        assert f'href="out_files/{page.name}"' in index
        assert page.read_text(encoding="ascii").startswith("<!DOCTYPE html>")
    assert index.index("3-broken") < index.index("1-kernel"), "failing files come first"
    assert "d/readme.txt" in index.replace("<wbr>", "")
    assert dumptruth("check", folder, "--report", "html=-").status == 2


def test_the_exit_status_is_the_worst(dumptruth: CommandLine, folder: Path) -> None:
    sound, broken, text = folder / "rich.dmp", folder / "deep" / "broken.dmp", folder / "readme.txt"
    assert dumptruth("check", sound, folder / "kernel.dmp").status == 0
    assert dumptruth("check", sound, text).status == 3
    assert dumptruth("check", sound, broken, text).status == 1
    Path("empty").mkdir()
    done = dumptruth("check", "empty")
    assert (done.status, done.out) == (3, "0 files: NOT_A_DUMP: there is nothing to judge\n")
    assert dumptruth("check", sound, "none.dmp").status == 2


def test_a_file_that_cannot_be_read_is_an_error_of_that_file(
    dumptruth: CommandLine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ByteSource.open

    def opened(path: Path) -> ByteSource:
        if path.name == "rich.dmp":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(ByteSource, "open", opened)
    document = dumptruth("check", folder, "-j", "1", "--json").json()
    validator("reports-1.json").validate(document)
    assert document["exit_status"] == 2
    reports = {entry["path"]: entry["report"] for entry in document["files"]}
    assert reports["d/rich.dmp"]["outcome"] == "INTERNAL_ERROR"
    assert reports["d/rich.dmp"]["reason"] == "cannot be read: Permission denied"
    assert reports["d/kernel.dmp"]["outcome"] == "CONFORMANT"
    done = dumptruth("check", folder, "-j", "1", "--report", "html=a.html", "--report", "junit=a.xml")
    assert done.status == 2
    assert ElementTree.parse("a.xml").getroot().attrib["errors"] == "1"


def test_a_process_that_dies_is_an_error_of_its_file(
    dumptruth: CommandLine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(*arguments: Any, **options: Any) -> Iterator[tuple[int, Any]]:
        for index, judged in run(*arguments, **options):
            yield index, Failed("the process that worked on the file ended with signal 9") if index == 1 else judged

    monkeypatch.setattr("dumptruth.fixtures.app.many.workers.run", dying)
    done = dumptruth("check", folder)
    assert done.status == 2
    assert re.search(r"^d/rich.dmp +INTERNAL_ERROR +the process that worked on the file ended", done.out, re.MULTILINE)
    assert done.out.endswith("3 files: INTERNAL_ERROR (1 conformant, 1 not conformant, 1 without a verdict)\n")


def test_a_truth_holds_for_all_files(dumptruth: CommandLine) -> None:
    assert dumptruth("dump", "null-read", "-q", "small", "-o", "a.dmp", "--truth", "t").status == 0
    shutil.copy("a.dmp", "b.dmp")
    document = dumptruth("check", "a.dmp", "b.dmp", "--truth", "t", "--json").json()
    assert [(entry["report"]["own"], entry["report"]["outcome"]) for entry in document["files"]] == [
        (True, "CONFORMANT")
    ] * 2
    done = dumptruth("check", "a.dmp", "b.dmp", "--truth", "nothing")
    assert (done.status, done.err.count("\n")) == (2, 1)


def test_standard_input_is_a_dump(dumptruth: CommandLine, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for command, words in (("check", "standard input: CONFORMANT"), ("identify", "standard input: a user-mode"),
                           ("map", "standard input, ")):  # fmt: skip
        data = (folder / "rich.dmp").read_bytes()
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        done = dumptruth(command, "-")
        assert done.status == 0, done.err
        assert words in done.out


def test_a_report_never_replaces_a_dump(dumptruth: CommandLine, folder: Path) -> None:
    before = (folder / "rich.dmp").read_bytes()
    done = dumptruth("check", folder, "--report", f"json={folder / 'rich.dmp'}")
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert dumptruth("check", folder / "kernel.dmp", "--json", folder / "rich.dmp").json()["counts"]["CONFORMANT"] == 2
    assert (folder / "rich.dmp").read_bytes() == before


def test_identify_lists_many_files(dumptruth: CommandLine, folder: Path) -> None:
    done = dumptruth("identify", folder)
    assert done.status == 0
    named = [line.split()[0] for line in done.out.splitlines() if line.startswith("d/")]
    assert named == ["d/kernel.dmp", "d/rich.dmp", "d/deep/broken.dmp"]
    assert done.out.endswith("3 files: 3 dumps; 1 other file in the folders (--all lists them)\n")
    document = dumptruth("identify", folder, "--json").json()
    validator("identities-1.json").validate(document)
    assert document["exit_status"] == 0
    for entry in document["files"]:
        assert dumptruth("identify", entry["path"], "--json").json() == entry["identity"]
    assert dumptruth("identify", folder / "rich.dmp", folder / "readme.txt").status == 3


def test_map_lists_many_files_as_json_and_draws_them_one_by_one(dumptruth: CommandLine, folder: Path) -> None:
    document = dumptruth("map", folder, "--json").json()
    assert [entry["path"] for entry in document["files"]] == ["d/kernel.dmp", "d/rich.dmp", "d/deep/broken.dmp"]
    for entry in document["files"]:
        assert dumptruth("map", entry["path"], "--json").json() == entry["map"]
    drawn = dumptruth("map", folder / "rich.dmp", folder / "readme.txt")
    assert drawn.status == 3
    assert drawn.out.startswith(f"{(folder / 'rich.dmp').as_posix()}\n")
    assert "d/readme.txt: a text file" in drawn.out


@pytest.mark.skipif(sys.platform == "win32", reason="a closed pipe is another error there")
@pytest.mark.parametrize("command", [["rules"], ["rules", "--json"], ["--help"]])
def test_a_closed_pipe_is_no_error(command: list[str]) -> None:
    code = "import sys; from dumptruth.fixtures.app.start import main; sys.stdin.read(1); main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    process.stdin.write(b"x")
    process.stdin.close()
    assert process.stderr.read() == b""
    assert process.wait() == 0
    process.stderr.close()


@pytest.mark.benchmark
def test_three_hundred_dumps_take_less_than_20_seconds(tmp_path: Path) -> None:
    sources = sorted(packaged().glob("*/**/*.dmp"))
    for number in range(300):
        shutil.copy(sources[number % len(sources)], tmp_path / f"{number}.dmp")
    code = "from dumptruth.fixtures.app.start import main; main()"
    began = perf_counter()
    subprocess.run(
        [sys.executable, "-c", code, "check", str(tmp_path), "--json", str(tmp_path / "out.json")],
        check=False, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    taken = perf_counter() - began
    print(f"300 dumps in {taken:.1f} s")
    assert len(json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["files"]) == 300
    assert taken < 20
