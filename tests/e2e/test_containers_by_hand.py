"""The writer's full user dump equals the hand-made one of the same target, byte for byte; and the judge reads the
writer's cabinets."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from struct import pack

import pytest
from dumptruth.fixtures.app.cli import run_command
from dumptruth.fixtures.mutants.userdump_assembled import CAPTURED, MACHINES, dump, memory, truth_document

RUNS = ((0x12000, 0x2000), (0x20000, 0x3000), (0x400000, 0x3000), (0x500000, 0x1000))
READABLE = (CAPTURED[0], (0x20000, 0x3000, *CAPTURED[1][2:]), *CAPTURED[3:])
"""The regions of the hand-made target, with all pages readable."""
ORDER = ("header", "event", "region", "context", "thread", "module", "memory", "version")
"""The order of engine 15063 (docs/format/user-dump.md#order-of-the-file)."""
POINTERS = ("context", "module", "memory", "region", "event", "thread", "version")
"""The parts in the order of their offsets in the header."""
CONTEXT_FLAGS = 0x10005F
"""Of amd64 (docs/format/user-dump.md#thread-contexts)."""
TEXTS = "CRASH: OS SP\0none\0CRASH: Hotfixes\0none\0\0"


@pytest.fixture(params=list(MACHINES))
def target(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The architecture of a target; its truth is in the folder ``held``."""
    monkeypatch.chdir(tmp_path)
    document = truth_document(request.param)
    offsets = [sum(size for _, size in RUNS[:index]) for index in range(len(RUNS))]
    document["unreadable"] = []
    document["memory"] = [
        {"start": hex(start), "size": hex(size), "offset": hex(offset)}
        for (start, size), offset in zip(RUNS, offsets, strict=True)
    ]
    Path("held").mkdir()
    Path("held/truth.json").write_text(json.dumps(document), encoding="utf-8")
    Path("held/memory.bin").write_bytes(
        b"".join(memory(start, start + size, str(request.param)) for start, size in RUNS)
    )
    return str(request.param)


def write(name: str, *flags: str) -> None:
    options = [item for flag in flags for item in ("-f", flag)]
    arguments = ["dump", "held", "-q", "default", "--profile", "legacy", *options, "-o", name, "--truth", "told"]
    assert run_command(arguments) == 0


def packed_as_by_the_engine(architecture: str) -> bytes:
    """Return the hand-made dump with its parts in the engine's order.

    It has the engine's version texts and ContextFlags, and a NUL behind each module name.
    """
    made = dump(architecture, truth_document(architecture), READABLE)
    length_at = 8 if architecture == "x86" else 12
    parts = dict.fromkeys(ORDER, b"")
    for (name, start), (_, end) in pairwise([*made.at.items(), ("", len(made.data))]):
        kind, piece = name.partition(" ")[0], made.data[start:end]
        if kind == "module":
            piece[length_at] += 1
        if kind == "context" and architecture == "amd64":
            piece[0x30:0x34] = pack("<I", CONTEXT_FLAGS)
        parts["module" if kind == "name" else kind] += piece + (b"\0" if kind == "name" else b"")
    parts["version"] = TEXTS.encode("utf-16-le")
    at = {kind: sum(len(parts[before]) for before in ORDER[: ORDER.index(kind)]) for kind in ORDER}
    head = bytearray(parts["header"])
    head[12:16] = pack("<HH", 2, 3790)  # OS minor version and build
    offsets = pack("<8I" if architecture == "x86" else "<8Q", *(at[kind] for kind in POINTERS), 0)
    parts["header"] = bytes(head[:32]) + offsets
    return b"".join(parts[kind] for kind in ORDER)


def test_the_writer_makes_what_was_packed_by_hand(target: str) -> None:
    write("crash.dmp")
    assert Path("crash.dmp").read_bytes() == packed_as_by_the_engine(target)
    assert run_command(["check", "crash.dmp", "--truth", "told", "--strict"]) == 0


@pytest.mark.usefixtures("target")
def test_a_cabinet_of_the_writer_is_conformant_and_identified(capsys: pytest.CaptureFixture[str]) -> None:
    write("crash.cab", "write-cab")
    assert run_command(["check", "crash.cab", "--truth", "told", "--strict"]) == 0
    assert run_command(["check", "crash.cab"]) == 0
    assert "crash.cab.dmp inside" in capsys.readouterr().out
    assert run_command(["identify", "crash.cab"]) == 0
    assert "crash.cab.dmp, a legacy full user-mode dump" in capsys.readouterr().out


@pytest.mark.usefixtures("target")
def test_a_page_that_cannot_be_read_leaves_no_dump() -> None:
    document = json.loads(Path("held/truth.json").read_text("utf-8"))
    document["unreadable"] = [{"start": "0x22000", "size": "0x1000"}]
    document["memory"][1]["size"] = "0x2000"
    for run in document["memory"][2:]:
        run["offset"] = hex(int(run["offset"], 16) - 0x1000)
    Path("held/truth.json").write_text(json.dumps(document), encoding="utf-8")
    runs = (RUNS[0], (0x20000, 0x2000), *RUNS[2:])
    Path("held/memory.bin").write_bytes(b"".join(memory(start, start + size) for start, size in runs))
    assert run_command(["dump", "held", "-q", "default", "--profile", "legacy", "-o", "crash.dmp"]) == 1
    assert not Path("crash.dmp").exists()
