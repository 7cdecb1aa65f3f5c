"""``dumptruth conform --writer`` on three writers that share no code with the project: in Python, C and shell.

Each is correct without options. With a fault switched on, the rule about that fault must fail.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dumptruth.fixtures.app.cli import run_command

WRITERS = Path(__file__).resolve().parents[1] / "conform" / "writers"
Conform = Callable[..., dict[str, Any]]


@dataclass(frozen=True)
class Fault:
    writer: str
    name: str
    case: str
    rules: frozenset[str]
    """Rules that the dump must break. One fault may break several."""
    also: frozenset[str] = frozenset()
    """Rules that may fail as a consequence, because other bytes moved."""


FAULTS = (
    Fault(
        "python",
        "memory64-shift",
        "user/default/synthetic",
        frozenset({"MDMP-MEMORY64-002", "MDMP-MEMORY64-003", "PAGE-BYTES-001"}),
        frozenset({"MDMP-LAYOUT-001", "MDMP-LAYOUT-002", "XCUT-PEB-001", "XCUT-TEB-001", "XCUT-IMAGE-001"}),
    ),
    Fault(
        "python",
        "last-page-missing",
        "user/default/synthetic",
        frozenset({"PAGE-REQUIRED-004", "XCUT-MEMORYINFO-003"}),
    ),
    Fault("python", "teb-leaked", "user/small/synthetic", frozenset({"PAGE-FORBIDDEN-001", "XCUT-TEB-002"})),
    Fault(
        "python",
        "flags-by-identity",
        "user/small/synthetic/handle-data",
        frozenset({"TRUE-FLAGS-001", "XCUT-FLAGS-001"}),
    ),
    Fault("c", "last-page-missing", "kernel/full/synthetic", frozenset({"KPAG-LENGTH-001"})),
    Fault(
        "c",
        "holes-written",
        "kernel/full/synthetic",
        frozenset({"KPAG-BYTES-001", "KFIL-TAIL-001"}),
        frozenset({"KXCT-MODULES-002", "KXCT-KDBG-001", "KXCT-TRANSLATE-001", "KXCT-DTB-002"}),
    ),
    Fault("c", "stale-dtb", "kernel/full/in-user-process", frozenset({"KHDR-FIELDS-001"})),
    Fault("shell", "parameters-shifted", "kernel/full-header/synthetic", frozenset({"KHDR-BUGCHECK-001"})),
    Fault("shell", "unix-time", "kernel/full-header/synthetic", frozenset({"KHDR-TIME-002"})),
    Fault("shell", "first-processor", "kernel/full-header/in-user-process", frozenset({"KHDR-CONTEXT-003"})),
)


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("c") / ("writer.exe" if sys.platform == "win32" else "writer")
    compiler = shutil.which("cc")
    if compiler is not None:
        command = [compiler]
    elif importlib.util.find_spec("ziglang") is not None:
        command = [sys.executable, "-m", "ziglang", "cc"]
    else:
        pytest.skip("no C compiler: neither cc nor the ziglang wheel (extra images)")
    strict = ["-std=c11", "-O1", "-Wall", "-Wextra", "-o", str(program)]
    subprocess.run([*command, *strict, str(WRITERS / "complete_writer.c")], check=True)
    return program


@pytest.fixture
def writer(request: pytest.FixtureRequest) -> Callable[[str], list[str]]:
    def command(name: str) -> list[str]:
        if name == "c":
            return [str(request.getfixturevalue("compiled"))]
        if name == "shell":
            if shutil.which("sh") is None or shutil.which("awk") is None:
                pytest.skip("no sh and awk here")
            return ["sh", str(WRITERS / "header_writer.sh")]
        return [sys.executable, "-I", str(WRITERS / "minidump_writer.py")]

    return command


@pytest.fixture
def conform(tmp_path: Path) -> Conform:
    """Runs the command and returns its exit status and the JSON that it wrote."""

    def run(command: list[str], *options: str) -> dict[str, Any]:
        to = tmp_path / "results.json"
        quoted = " ".join(f'"{word}"' for word in command)
        status = run_command(["conform", "--writer", quoted, *options, "--json", str(to)])
        return {"status": status, **json.loads(to.read_text(encoding="utf-8"))}

    return run


def _cases(*patterns: str) -> list[str]:
    return [word for pattern in patterns for word in ("--case", pattern)]


RIGHT = {
    "python": (("user/*/synthetic", "user/small/synthetic/*-data", "user/small/no-exception", "user/small/x86"), 7),
    "c": (("kernel/full/synthetic", "kernel/full/page-0", "kernel/full-classic/synthetic", "user/small/many"), 3),
    "shell": (("kernel/full-header/synthetic", "kernel/full-header/build-*", "kernel/small/synthetic"), 3),
}
"""For each writer some cases, and how many of them it does not skip."""


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("option", [[], ["--persistent"]], ids=["one-process-a-case", "persistent"])
def test_a_correct_writer_passes_every_case_that_it_does_not_skip(
    writer: Callable[[str], list[str]], conform: Conform, name: str, option: list[str]
) -> None:
    patterns, judged = RIGHT[name]
    found = conform(writer(name), *_cases(*patterns), *option)
    assert [result for result in found["results"] if not result["ok"]] == []
    assert (found["status"], found["judged"]) == (0, judged)
    assert found["cases"] > found["judged"]  # the writer skips what it does not support
    assert {result["verdict"] for result in found["results"]} == {"agrees", "skipped"}


def test_a_correct_writer_passes_the_committed_vectors(writer: Callable[[str], list[str]], conform: Conform) -> None:
    golden = Path(__file__).resolve().parents[2] / "fixtures" / "golden"
    found = conform(writer("python"), "--vectors", str(golden), "--persistent")
    assert [result for result in found["results"] if not result["ok"]] == []
    assert found["status"] == 0
    assert found["judged"] >= 11


@pytest.mark.slow
@pytest.mark.parametrize(("name", "judged"), [("python", 34), ("c", 9), ("shell", 5)])
def test_a_correct_writer_passes_every_case(
    writer: Callable[[str], list[str]], conform: Conform, name: str, judged: int
) -> None:
    found = conform(writer(name), "--persistent")
    assert [result for result in found["results"] if not result["ok"]] == []
    assert found["status"] == 0
    assert found["judged"] >= judged


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.writer}-{fault.name}")
def test_each_fault_of_a_writer_fails_the_rule_about_it(
    writer: Callable[[str], list[str]], conform: Conform, fault: Fault, capsys: pytest.CaptureFixture[str]
) -> None:
    found = conform([*writer(fault.writer), "--fault", fault.name], *_cases(fault.case))
    (result,) = found["results"]
    assert (found["status"], result["verdict"]) == (1, "fails")
    broken = set(result["rules"])
    assert fault.rules <= broken <= fault.rules | fault.also
    assert result["findings"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"FAIL {fault.case}: fails: ")
    assert lines[-1] == "NOT CONFORMANT: 1 failing"


def test_every_fault_that_a_writer_offers_is_tested() -> None:
    for name, file, mark in (
        ("python", "minidump_writer.py", '"""'),
        ("c", "complete_writer.c", " */"),
        ("shell", "header_writer.sh", "\n\n"),
    ):
        text = (WRITERS / file).read_text(encoding="utf-8")
        start = text.index("--fault NAME")
        listed = {
            line.lstrip("#* ").split("  ")[0]
            for line in text[start : text.index(mark, start)].splitlines()[1:]
            if "  " in line.lstrip("#* ")
        }
        assert listed == {fault.name for fault in FAULTS if fault.writer == name}


def test_an_expected_refusal_agrees_and_any_other_is_reported_as_refused(tmp_path: Path, conform: Conform) -> None:
    script = tmp_path / "refuses.py"
    script.write_text(
        "import json, sys\n"
        "for line in sys.stdin:\n"
        "    message = json.loads(line)\n"
        "    code = sys.argv[1]\n"
        "    if sys.argv[2:]: open(message['output'], 'w').close()\n"
        "    print(json.dumps({'case': message['case'], 'result': 'refused', 'hresult': code}))\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-I", str(script), "0x80070057"]
    cases = _cases("user/full/synthetic", "user/small/synthetic")
    verdicts = {result["case"]: result["verdict"] for result in conform(command, *cases)["results"]}
    assert verdicts == {"user/full/synthetic": "agrees", "user/small/synthetic": "refuses"}
    due = _cases("user/full/synthetic")
    (result,) = conform([*command[:-1], "0x00000000"], *due)["results"]
    assert (result["verdict"], "expected a failure code" in result["details"][0]) == ("fails", True)
    (result,) = conform([*command, "leave"], *due)["results"]
    assert (result["verdict"], "left a file" in result["details"][0]) == ("fails", True)


def _writer(folder: Path, body: str) -> list[str]:
    """The command of a writer that does ``body`` with one message and answers that it wrote the dump."""
    script = folder / "writer.py"
    script.write_text(
        "import json\n"
        "message = json.loads(input())\n"
        f"{body}\n"
        "print(json.dumps({'case': message['case'], 'result': 'written'}))\n",
        encoding="utf-8",
    )
    return [sys.executable, "-I", str(script)]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("pass", "answered written, but there is no file"),
        ("open(message['output'], 'w').close()", "not a dump that can be judged: an empty file"),
        ("open(message['output'], 'wb').write(b'MDMP')", "MDMP-HEADER-"),
    ],
)
def test_a_missing_empty_or_truncated_dump_fails(tmp_path: Path, conform: Conform, body: str, why: str) -> None:
    (result,) = conform(_writer(tmp_path, body), *_cases("user/small/synthetic"))["results"]
    assert result["verdict"] == "fails"
    assert why in result["details"][0]


def test_a_dump_instead_of_an_expected_refusal_fails(tmp_path: Path, conform: Conform) -> None:
    command = _writer(tmp_path, "open(message['output'], 'w').close()")
    (result,) = conform(command, *_cases("user/full/synthetic"))["results"]
    assert (result["verdict"], "expected a refusal" in result["details"][0]) == ("fails", True)
