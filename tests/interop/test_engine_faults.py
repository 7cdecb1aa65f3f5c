"""The search for faults of the engine finds a planted fault, and nothing in a dump without one. It needs no engine."""

from __future__ import annotations

import struct
from pathlib import Path

from dumptruth.emu.constants import Qualifier
from dumptruth.emu.debugger.client import DebugClient
from dumptruth.oracle import read
from dumptruth.oracle.readers.facts import Dump
from dumptruth.oracle.readers.kernel_dump import KernelDump

from ..changed_process import with_bytes
from .engine_fault_targets import crashed_machine, crashed_process, with_last_entries
from .engine_faults import (
    FLTSAVE,
    FLTSAVE_SIZE,
    KUSER_SHARED_DATA,
    MISPLACED,
    entry_511,
    foreign_kuser,
    misplaced_fltsave,
    walk,
)

SMALL = Qualifier.DEBUG_DUMP_SMALL


def test_lost_pages_below_entry_511(tmp_path: Path) -> None:
    """A copy of the machine without these entries lacks their pages, and no other."""
    source, right, wrong = (tmp_path / name for name in ("source", "right", "wrong"))
    machine = with_last_entries(crashed_machine())
    DebugClient(machine).write(source, Qualifier.DEBUG_DUMP_FULL)
    DebugClient(machine, contract="e29507").write(right, Qualifier.DEBUG_DUMP_DEFAULT)
    DebugClient(crashed_machine(), contract="e29507").write(wrong, Qualifier.DEBUG_DUMP_DEFAULT)
    assert not entry_511(source, right).fault
    answer = entry_511(source, wrong)
    assert answer.fault
    assert answer.seen.startswith("2 pages lie below an entry 511, the copy has 0 of them")


def test_a_copy_that_lacks_other_pages_too_does_not_show_it(tmp_path: Path) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    DebugClient(with_last_entries(crashed_machine())).write(source, Qualifier.DEBUG_DUMP_FULL)
    DebugClient(crashed_machine(), contract="e29507").write(copy, Qualifier.DEBUG_DUMP_DEFAULT)
    with read(copy) as contents:
        assert isinstance(contents.facts, KernelDump)
        runs = contents.facts.runs
        at = contents.facts.run_span(max(range(len(runs)), key=lambda index: runs[index][1])).start
    data = bytearray(copy.read_bytes())
    struct.pack_into("<Q", data, at + 8, 1)  # of the longest run only one page is left
    copy.write_bytes(data)
    assert not entry_511(source, copy).fault


def test_misplaced_fltsave(tmp_path: Path) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    DebugClient(crashed_machine()).write(source, Qualifier.DEBUG_DUMP_FULL)
    DebugClient(crashed_machine(), contract="e29507").write(copy, SMALL)
    assert not misplaced_fltsave(source, copy).fault
    with read(copy) as contents:
        assert isinstance(contents.facts, KernelDump)
        assert contents.facts.context is not None
        at = contents.facts.context.span.start
    data = bytearray(copy.read_bytes())
    saved = data[at + FLTSAVE : at + FLTSAVE + FLTSAVE_SIZE]
    data[at + FLTSAVE : at + FLTSAVE + FLTSAVE_SIZE] = bytes(FLTSAVE_SIZE)
    data[at + MISPLACED : at + MISPLACED + FLTSAVE_SIZE] = saved
    copy.write_bytes(data)
    assert misplaced_fltsave(source, copy).fault
    data[at + MISPLACED] ^= 1  # neither place: lost, which is another fault
    copy.write_bytes(data)
    assert not misplaced_fltsave(source, copy).fault


def test_foreign_bytes_for_kuser_shared_data(tmp_path: Path) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    process = crashed_process()
    DebugClient(process, contract="e15063").write(source, SMALL)
    assert not foreign_kuser(source, source).fault
    DebugClient(process, contract="e29507").write(copy, SMALL)
    assert not foreign_kuser(source, copy).fault
    with read(source) as contents:
        assert isinstance(contents.facts, Dump)
        start, end, offset = next(piece for piece in contents.facts.pieces() if piece[0] > KUSER_SHARED_DATA)
        next_range = contents.facts.source.read(offset, end - start)
    DebugClient(with_bytes(process, KUSER_SHARED_DATA, next_range[:0x1000]), contract="e29507").write(copy, SMALL)
    assert foreign_kuser(source, copy).fault


def test_a_walk_takes_time_for_each_page() -> None:
    assert walk({513: 0.1, 8193: 1.64, 32769: 6.55}).fault  # 0.2 ms a page
    assert not walk({513: 0.002, 8193: 0.004, 32769: 0.002}).fault  # 15063 under Wine
    assert not walk({513: 0.002, 8193: 0.004, 32769: 0.9}).fault  # a stall of the machine
