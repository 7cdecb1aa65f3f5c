"""The input of a replay is all memory, registers and the exception of the dump, and nothing else."""

from __future__ import annotations

from struct import pack
from typing import Any

from dumptruth.oracle import ByteSource, read_minidump
from dumptruth.oracle.replay_input import replay_input


def test_memory_registers_and_the_exception_come_out_of_a_full_dump(full: Any) -> None:
    given = replay_input(read_minidump(ByteSource(full.data)))
    assert given is not None
    assert given.registers["Rip"] == 0x401200
    assert given.registers["Rsp"] == 0x13F80
    assert given.registers["SegCs"] == 0x300
    assert given.registers["R8"] == 0x300 + 21
    assert given.fxsave == full.truth.exception.context.fxsave
    assert given.gs_base == 0x30000 + 0x1238
    assert (given.code, given.address, given.information) == (0xC0000005, 0x401200, (1, 0x10))
    assert [(region.start, region.size, region.protect) for region in given.regions] == [
        (region.base, region.size, region.protect) for region in full.truth.regions if region.state == 0x1000
    ]
    for region in given.regions:
        held = full.truth.read(region.start, region.size)
        assert (None if region.data is None else region.data[:]) == (None if held is None else bytes(held))
        if region.data is not None:
            assert len(region.data) == region.size
            assert region.data[0x1FF0:0x2010] == region.data[:][0x1FF0:0x2010]
    assert given.regions[0].data is None
    assert given.regions[1].data is not None


def test_a_region_that_is_captured_in_part_is_cut(full: Any) -> None:
    at = full.at["stream 9"] + 16 + 8
    shorter = full.data[:at] + pack("<Q", 0x1800) + full.data[at + 8 :]
    given = replay_input(read_minidump(ByteSource(shorter)))
    assert given is not None
    assert [(region.start, region.size, region.data is None) for region in given.regions[:3]] == [
        (0x11000, 0x1000, True),
        (0x12000, 0x1800, False),
        (0x13800, 0x800, True),
    ]


def test_without_a_map_or_an_exception_there_is_nothing_to_replay(small: Any, full: Any) -> None:
    assert replay_input(read_minidump(ByteSource(small.data))) is None
    at = full.at["directory"] + 12 * 2
    nothing = full.data[:at] + bytes(12) + full.data[at + 12 :]
    assert replay_input(read_minidump(ByteSource(nothing))) is None
