"""Every recorded answer of the vendor's engines is the answer of DebugClient under that engine's contract.

The rows are facts that were measured (fixtures/contracts/README.md). Rows that are the fault of a target or of Wine,
or that need Windows or a whole debugger, are skipped with a reason, and counted.
"""

from __future__ import annotations

import os
import re
import struct
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dumptruth.emu.constants import MEM_FREE
from dumptruth.emu.debugger.client import DebugClient
from dumptruth.emu.debugger.engine_line import execute
from dumptruth.emu.snapshot.kernel import KernelSnapshot
from dumptruth.emu.snapshot.process import ProcessSnapshot
from dumptruth.emu.synthetic.kernel import synthetic_machine
from dumptruth.emu.synthetic.process import synthetic_process
from dumptruth.fixtures.contracts.answers import Answer, answers, debugger_only, faulty, needs_windows

WINDOWS = sys.platform == "win32"
PROCESS = synthetic_process()
MACHINE = synthetic_machine()
PEB = PROCESS.process.peb
WITHOUT_PEB = replace(
    PROCESS,
    memory=tuple(run for run in PROCESS.memory if not run.start <= PEB < run.start + len(run.data)),
    regions=tuple(
        replace(region, state=MEM_FREE, protect=0) if region.base <= PEB < region.end else region
        for region in PROCESS.regions
    ),
)
"""What a small dump knows of the process: no PEB."""
ROWS = answers()
GROUPS = sorted({(row.engine, row.target) for row in ROWS})
OLD = b"OLDCONTENT" * 5
PROCESS_THREAD_DATA = 0x80
DEVIATIONS = {
    "an existing file is kept when the write fails; the engines lose it": 21,
    "a handle that is open for appending is refused; the engines write a file there that no reader opens": 6,
}
"""What ours does otherwise, and in how many rows (docs/format/write-dump-file.md#what-ours-does-otherwise)."""
SKIPPED = {
    "/mC sets a bit of the header that no format flag sets": 6,
    "Wine overwrites read-only files for this user": 8,
    "a driver's symbols, or a file of physical memory": 3,
    "a second command": 7,
    "an expression with registers": 18,
    "only Windows": 80,
    "the cabinet.dll of Wine adds no file": 24,
    "the code for a long name is of Wine": 4,
    "the engine was killed after two minutes": 1,
    "the hand-made machine lacks what the engine reads": 64,
    "the name is in bytes of another code page": 4,
    "the stand-in for cabinet.dll reports success where there is no file": 8,
}
"""Why rows are not repeated, and how many."""
NOT_RECORDED = ("kernel-dot", "kernel-states", "kernel-secure")
"""Sections in which not every row has the text that was printed."""


def skipped(row: Answer) -> str | None:
    """Why this host cannot repeat the row."""
    return faulty(row) or debugger_only(row) or ("only Windows" if needs_windows(row) and not WINDOWS else None)


def needs_peb(row: Answer) -> bool:
    """Whether the answer depends on memory that the dump target lacks (test_engine_answers_contents.py)."""
    return row.target == "user-dump-small" and row.method != "dot" and bool(row.f & PROCESS_THREAD_DATA)


def target(row: Answer) -> dict[str, Any]:
    """The arguments of DebugClient for the row."""
    kind, _, number = row.target.partition("-")
    options: dict[str, Any] = {
        "contract": row.engine,
        "ready": row.state != "not-ready",
        "secure_mode": row.state == "secure",
        "engine_options": 0x00400000 if row.state == "sensitive" else 0,
        "kernel_symbols": False,
        "session": "live" if number == "live" else "dump",
    }
    if kind == "image":
        options["image_file"] = True
    if kind == "kernel" and number != "live":
        options["target_type"] = int(number)
    return options


def snapshot(row: Answer) -> ProcessSnapshot | KernelSnapshot | None:
    if row.target == "none":
        return None
    if row.target.startswith("kernel"):
        return MACHINE
    return WITHOUT_PEB if row.target == "user-dump-small" else PROCESS


@pytest.fixture(name="place")
def a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "other"
    (place / "adir").mkdir(parents=True)
    (place / "ro.dmp").write_bytes(b"READONLY" * 5)
    monkeypatch.chdir(place)
    return place


def kind_of(data: bytes) -> str:
    if data[:4] == b"PAGE":
        return f"kernel-{struct.unpack_from('<I', data, 0xF98)[0]}"
    return {b"MDMP": "minidump", b"USER": "userdump", b"MSCF": "cabinet"}.get(data[:4], "other")


def tidy(output: str) -> str:
    """The output in the form of the table."""
    output = re.sub(r"Usage: \.dump.*?(?=\^|\Z)", "<usage>\n", output, flags=re.DOTALL)
    output = re.sub(r"/(?:ma|f) is .*\n", "<note>\n", output)
    output = re.sub(r"_0000_\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d-\d{3}_[0-9a-f]{4}", "_<unique>", output)
    return output.rstrip("\n")


def native(name: str, place: Path) -> str:
    return name.replace("DIR", str(place)).replace("\\", os.sep)


def handles(row: Answer, place: Path) -> Iterator[Any]:
    """The row's FileHandle."""
    file = place / "h.dmp"
    file.write_bytes(b"x" * row.old)
    if row.handle == "folder":
        if WINDOWS:
            yield 0x1234
            return
        descriptor = os.open(place / "adir", os.O_RDONLY)
        yield descriptor
        os.close(descriptor)
    elif row.handle in ("rw", "wo", "ro", "append"):
        mode = {"rw": "r+b", "wo": "r+b", "ro": "rb", "append": "ab"}[row.handle]
        with file.open(mode, buffering=0) as opened:
            opened.seek(row.position)
            yield opened
            assert not opened.closed
    else:
        yield -1 if row.handle == "-1" else 0x1234 if row.handle == "0x1234" else 0x4321


def ask(row: Answer, client: DebugClient, place: Path) -> int:
    name = None if row.name is None else native(row.name, place)
    if row.method == "dot":
        return execute(client, row.line.replace("\\x.dmp", f"{os.sep}x.dmp"))
    if row.method == "one":
        return client.WriteDumpFile(name, row.q)  # type: ignore[arg-type]
    comment = row.comment if row.comment_given else None
    if row.method == "two":
        ansi = comment.encode("cp1252") if comment is not None else None
        return client.WriteDumpFile2(name, row.q, row.f, ansi)  # type: ignore[arg-type]
    for handle in handles(row, place) if row.handle else [0]:
        answer = client.WriteDumpFileWide(name, handle, row.q, row.f, comment)
    return answer


def told(row: Answer, place: Path) -> list[str]:
    """Ask the row's question, and return what differs from the recorded answer."""
    existing = place / "exists.dmp"
    if not row.absent:
        existing.write_bytes(OLD)
    client = DebugClient(snapshot(row), **target(row))
    hresult = ask(row, client, place)
    wrong = []
    expected = int(row.hr, 16)
    if row.handle == "append" and expected == 0:
        expected = 0x80070005
    if hresult != expected:
        wrong.append(f"hr {hresult:#x}, expected {expected:#x} ({client.last_error})")
    said = tidy(client.output).replace(str(place) + os.sep, "")
    recorded = row.said if "%TEMP%" in row.said else row.said.replace("\\", os.sep)
    is_recorded = bool(row.said) or row.section not in NOT_RECORDED
    if is_recorded and row.handle != "append" and said != recorded:
        wrong.append(f"said {said!r}, expected {row.said!r}")
    wrong += files_wrong(row, place)
    return [f"{row}: {what}" for what in wrong]


def files_wrong(row: Answer, place: Path) -> list[str]:
    if row.handle:
        data = (place / "h.dmp").read_bytes()
        (place / "h.dmp").unlink()
        return handle_wrong(row, data)
    wrong, recorded = [], dict(row.files)
    found = {}
    for path in sorted([*place.iterdir(), *(path for path in place.parent.iterdir() if path.is_file())]):
        if path.is_file() and path.name != "ro.dmp":
            name = path.name if path.parent == place else f"../{path.name}"
            found[tidy(name)] = path.read_bytes()
            path.unlink()
    old = found.pop("exists.dmp", None)
    if old is not None and old != OLD:
        found["exists.dmp"] = old
    elif recorded.get("exists.dmp") == "lost" and old == OLD:
        del recorded["exists.dmp"]
    elif old is None and not row.absent:
        wrong.append("exists.dmp is lost")
    kinds = {name: kind_of(data) for name, data in found.items()}
    if kinds != recorded:
        wrong.append(f"files {kinds}, expected {recorded}")
    return wrong


def handle_wrong(row: Answer, data: bytes) -> list[str]:
    if int(row.hr, 16) or row.handle == "append":
        return [] if data == b"x" * row.old else ["the file of the handle changed"]
    wrong = []
    if row.at is None or kind_of(data[row.at :]) == "other" or data[: row.at] != b"x" * row.at:
        wrong.append(f"no dump at {row.at}")
    longer = row.old == 9_000_000 and not row.tail  # the engine's dump was longer than the file; ours is not
    if not longer and row.tail != (len(data) == row.old and data.endswith(b"x" * 100)):
        wrong.append("the old end of the file")
    return wrong


@pytest.mark.parametrize("group", GROUPS, ids=["-".join(group) for group in GROUPS])
def test_every_row_has_the_recorded_answer(group: tuple[str, str], place: Path) -> None:
    wrong, asked = [], 0
    for row in ROWS:
        if (row.engine, row.target) != group or skipped(row) or needs_peb(row):
            continue
        asked += 1
        wrong += told(row, place)
    assert asked
    assert not wrong, f"{len(wrong)} differences in {asked} rows\n" + "\n".join(wrong[:40])


def test_the_rows_that_are_not_repeated_are_counted() -> None:
    assert len(ROWS) == 4068
    assert sum(row.count for row in ROWS) == 5583
    reasons = Counter(reason for row in ROWS if (reason := skipped(row)))
    expected = dict(SKIPPED)
    if WINDOWS:
        del expected["only Windows"]
    assert reasons == expected


def test_the_rows_with_another_answer_of_ours_are_counted() -> None:
    repeated = [row for row in ROWS if not skipped(row)]
    assert list(DEVIATIONS.values()) == [
        sum("lost" in dict(row.files).values() for row in repeated),
        sum(row.handle == "append" and not int(row.hr, 16) for row in repeated),
    ]
