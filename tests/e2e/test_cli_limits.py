"""Endless and greedy programs on the command line: one line, a documented exit status, and no half-written file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ..marks import needs_compiler

PROGRAMS = {
    "leak": "for (;;) CreateEventW(0, 0, 0, 0);",
    "print": "HANDLE h = GetStdHandle(STD_OUTPUT_HANDLE); DWORD n; for (;;) WriteFile(h, b, sizeof b, &n, 0);",
    "sleep": "for (;;) Sleep(1);",
    "threads": "for (;;) CreateThread(0, 0, (void *)ExitThread, 0, CREATE_SUSPENDED, 0);",
    "loop": "for (;;) ;",
    "debug": "for (;;) OutputDebugStringA(b);",
}
NOTES = {
    "leak": "limit of 64 open handles: ",
    "print": "limit of 1,048,576 bytes of console output: ",
    "threads": "limit of 255 threads at the same time: ",
    "debug": "limit of 65,536 bytes of debug output: ",
}


@needs_compiler
@pytest.mark.parametrize("name", PROGRAMS)
def test_an_endless_program_ends_with_status_2_and_leaves_neither_dump_nor_truth(dumptruth: Any, name: str) -> None:
    source = Path(f"{name}.c")
    body = PROGRAMS[name]
    source.write_text(
        "#include <windows.h>\nstatic char b[65536];\n"
        f"void mainCRTStartup(void) {{ for (int i = 0; i < 65535; i++) b[i] = 'x'; {body} }}\n",
        encoding="utf-8",
    )
    limits = ["--limit", "services=700", "--limit", "blocks=600K", "--limit", "debug=64K", "--limit", "handles=64"]
    if name == "threads":
        limits[-1] = "handles=4K"
    done = dumptruth("dump", source, "-o", "a.dmp", "--truth", "t", *limits)
    assert done.status == 2
    *notes, end = done.err.splitlines()
    assert end.startswith(f"dumptruth: {name}.exe: used up the limit of ")
    assert end.endswith("=N changes it")
    assert [note.partition(name + ".exe: ")[2].startswith(NOTES[name]) for note in notes] == [True] * (name in NOTES)
    assert [path.name for path in Path().iterdir()] == [source.name]


@needs_compiler
def test_a_program_that_handles_a_refusal_is_dumped_and_the_refusal_is_told(dumptruth: Any) -> None:
    Path("reserve.c").write_text(
        "#include <windows.h>\nvoid mainCRTStartup(void) { while (VirtualAlloc(0, 4096, MEM_RESERVE, PAGE_READWRITE)) ;"
        " *(volatile int *)0 = 1; }\n",
        encoding="utf-8",
    )
    done = dumptruth("dump", "reserve.c", "-q", "default", "-o", "a.dmp", "--truth", "t", "--limit", "regions=500")
    assert done.status == 0
    assert done.err == (
        "dumptruth: reserve.exe: limit of 500 regions of reserved or committed memory: 1 request was refused with "
        "STATUS_INSUFFICIENT_RESOURCES; --limit regions=N changes it\n"
    )
    assert dumptruth("check", "a.dmp", "--truth", "t").status == 0


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["run", "null-read", "--limit", "blocks=5000"],
            "crash.exe: used up the limit of 5,000 basic blocks ",
        ),
        (
            ["run", "bugcheck-d1", "--ram", "4M", "--limit", "services=9"],
            "scenario bugcheck-d1: used up the limit of ",
        ),
        (["dot-dump", ".dump a.dmp", "null-read", "--limit", "services=9"], "crash.exe: used up the limit of 9 system"),
        (["run", "null-read", "--limit", "block=5"], "limit 'block': unknown; expected one of host-seconds, "),
        (["run", "bugcheck-d1", "--limit", "handles=99"], "bugcheck-d1: a machine has no limit handles; it has host-s"),
        (["demo", "--limit", "threads=0"], "limit threads=0: expected 1 to 4,096"),
    ],
)
def test_a_limit_holds_for_scenarios_and_a_wrong_one_is_refused(
    dumptruth: Any, arguments: list[str], line: str
) -> None:
    done = dumptruth(*arguments)
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith(f"dumptruth: {line}")
    assert list(Path().iterdir()) == []


def test_a_target_that_does_not_run_has_no_limits(dumptruth: Any) -> None:
    assert dumptruth("run", "null-read", "--truth", "t").status == 0
    done = dumptruth("run", "t", "--limit", "blocks=5000")
    assert (done.status, done.err) == (2, "dumptruth: t: only a target that runs takes --limit\n")
