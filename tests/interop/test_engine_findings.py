"""Errors of Microsoft's debugger engine as a writer, shown by the engine itself (docs/findings.md).

With `-n0 -s` each test prints what it saw. A failure says that a version which was measured behaves differently. Of
another version a test only tells what it does, and is skipped.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import pytest
from dumptruth.emu.constants import FormatFlag, Hresult, Qualifier
from dumptruth.emu.debugger.client import DebugClient
from dumptruth.fixtures.adapters.engine.faults import FAULTS
from dumptruth.fixtures.adapters.engine.process import Harness
from dumptruth.fixtures.adapters.engine.writer import Method, Written, write

from .engine_fault_targets import crashed_machine, crashed_process, low_process, with_kd_version, with_last_entries
from .engine_faults import Answer, entry_511, foreign_kuser, misplaced_fltsave, walk

SMALL: Final = Qualifier.DEBUG_DUMP_SMALL
PRIVATE_READ_WRITE: Final = FormatFlag.DEBUG_FORMAT_USER_SMALL_PRIVATE_READ_WRITE_MEMORY
SIZES: Final = (513, 8193, 32769)
"""Pages up to the last range."""
WORDS: Final = {
    True: "this version has the fault",
    False: "this version does not have the fault",
    None: "this version refuses the request",
}


def conclude(engine: Harness, name: str, answer: Answer) -> None:
    """Prints the answer, and fails if the version was measured with another result."""
    said = f"dbgeng {engine.version}, {name}: {WORDS[answer.fault]}. {answer.seen}."
    print(said)
    builds = FAULTS[name].builds
    if engine.build not in builds:
        pytest.skip(f"not measured yet: {said}")
    assert answer.fault is builds[engine.build], said


def copied(engine: Harness, source: Path, qualifier: int, flags: int = 0) -> tuple[Path, Written]:
    """The engine opens ``source`` and writes it again. Returns the copy."""
    engine.open(source)
    copy = source.with_suffix(".copy.dmp")
    return copy, write(engine, copy, qualifier, flags)


def test_existing_file(engine: Harness, tmp_path: Path) -> None:
    """docs/format/write-dump-file.md#default-in-a-user-session: no version writes DEFAULT of a dump target."""
    source, kept = tmp_path / "source.dmp", tmp_path / "source.copy.dmp"
    DebugClient(crashed_process()).write(source, Qualifier.DEBUG_DUMP_DEFAULT)
    kept.write_bytes(b"a file of the user")
    _, written = copied(engine, source, Qualifier.DEBUG_DUMP_DEFAULT)
    assert not written.succeeded
    there = "is still there" if kept.exists() else "is gone"
    conclude(
        engine,
        "existing_file",
        Answer(
            not kept.exists(),
            f"the dump failed with {written.hresult:#010x}, and the file that it was to replace {there}",
        ),
    )


def test_active(engine: Harness, tmp_path: Path) -> None:
    """docs/format/write-dump-file.md#active-in-a-kernel-session"""
    source, made = tmp_path / "source.dmp", tmp_path / "active.dmp"
    DebugClient(crashed_machine()).write(source, Qualifier.DEBUG_DUMP_FULL)
    engine.open(source)
    codes = {method: write(engine, made, Qualifier.DEBUG_DUMP_ACTIVE, method=method).hresult for method in Method}
    told = ", ".join(f"{method.name} {code:#010x}" for method, code in codes.items())
    refused = all(code == Hresult.E_INVALIDARG for code in codes.values()) and not made.exists()
    conclude(engine, "active", Answer(refused, told))


def test_entry_511(engine: Harness, tmp_path: Path) -> None:
    """docs/format/kernel-kinds.md#what-the-engine-takes-for-default"""
    source = tmp_path / "source.dmp"
    DebugClient(with_last_entries(crashed_machine())).write(source, Qualifier.DEBUG_DUMP_FULL)
    copy, written = copied(engine, source, Qualifier.DEBUG_DUMP_DEFAULT)
    answer = Answer(None, f"{written.hresult:#010x}") if not written.succeeded else entry_511(source, copy)
    conclude(engine, "entry_511", answer)


@pytest.mark.parametrize("version", [0, 1])
def test_fltsave(engine: Harness, tmp_path: Path, version: int) -> None:
    """docs/format/kernel-small-layouts.md#other-habits-of-the-engine"""
    source = tmp_path / "source.dmp"
    DebugClient(crashed_machine()).write(source, Qualifier.DEBUG_DUMP_FULL)
    with_kd_version(source, version)
    copy, written = copied(engine, source, SMALL)
    assert written.succeeded, written
    conclude(engine, "fltsave", misplaced_fltsave(source, copy))


def test_fltsave_is_right_if_kd_secondary_version_is_2(engine: Harness, tmp_path: Path) -> None:
    """The fault depends on that field alone."""
    source = tmp_path / "source.dmp"
    DebugClient(crashed_machine()).write(source, Qualifier.DEBUG_DUMP_FULL)
    with_kd_version(source, 2)
    copy, written = copied(engine, source, SMALL)
    assert written.succeeded, written
    assert misplaced_fltsave(source, copy).fault is False


def test_kuser(engine: Harness, tmp_path: Path) -> None:
    """docs/format/minidump-captured-memory.md: a small dump by 15063 has neither the page nor a MemoryInfoList."""
    source = tmp_path / "source.dmp"
    DebugClient(crashed_process(), contract="e15063").write(source, SMALL)
    copy, written = copied(engine, source, SMALL)
    assert written.succeeded, written
    conclude(engine, "kuser", foreign_kuser(source, copy))


def test_private_read_write(engine: Harness, tmp_path: Path) -> None:
    """Seconds of dumps whose last range lies at different addresses; all have the same ranges."""
    times = {}
    for pages in SIZES:
        source = tmp_path / f"{pages}.dmp"
        DebugClient(low_process(pages), contract="e15063").write(source, SMALL)
        engine.open(source)
        start = time.perf_counter()
        written = write(engine, tmp_path / "copy.dmp", SMALL, PRIVATE_READ_WRITE)
        times[pages] = time.perf_counter() - start
        assert written.succeeded, written
        (tmp_path / "copy.dmp").unlink()
    conclude(engine, "private_read_write", walk(times))


def test_every_fault_has_a_test() -> None:
    """The page of findings names ``-k NAME``."""
    assert {f"test_{name}" for name in FAULTS} <= globals().keys()
