"""The vendor's engine 10.0.29507 opened our full dumps and wrote dumps of them. Ours must be the same.

``tests/data/engine`` holds what it wrote: facts of its files, and no byte of them. A dump of a scenario is compared in
its size, header flags, directory, thread list, and in every range and context by CRC-32.
"""

from __future__ import annotations

import json
import lzma
import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from dumptruth.emu.constants import DEBUG_DUMP_SMALL, StreamType
from dumptruth.emu.request import Contract, DumpRefused, Request, Session
from dumptruth.emu.scenarios.process import SCENARIOS
from dumptruth.emu.scenarios.run import run
from dumptruth.emu.snapshot.process import PAGE_SIZE, ProcessSnapshot
from dumptruth.emu.synthetic.flag_process import flag_target
from dumptruth.emu.synthetic.forms import FORMS
from dumptruth.emu.synthetic.process import synthetic_process
from dumptruth.emu.writer.minidump import dump_bytes

from ..changed_process import with_bytes, with_registers

Row = dict[str, Any]

FOLDER = Path(__file__).resolve().parents[1] / "data" / "engine"
FULL_MEMORY = 0x1
LONGER_TOKEN = 8
"""Bytes that each recorded token is longer than ours. The engine copies the tokens of a dump, and the dump that it was
given had references of 8 bytes."""
CHPE_CPU_AREA = 0x1788
"""Of ChpeV2CpuAreaInfo in a 64-bit TEB."""


@cache
def rows(name: str) -> list[Row]:
    with lzma.open(FOLDER / f"{name}.jsonl.xz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def dump(target: ProcessSnapshot, flags: int) -> bytes:
    request = Request(DEBUG_DUMP_SMALL, flags, contract=Contract.E29507, session=Session.DUMP)
    return dump_bytes(target, request)[0]


def facts(data: bytes) -> Row:
    """Return the facts that the record has, read without the code under test."""
    count, at = struct.unpack_from("<II", data, 8)
    directory = [struct.unpack_from("<III", data, at + 12 * index) for index in range(count)]
    streams = {kind: at for kind, _, at in directory}
    return {
        "size": len(data),
        "header_flags": struct.unpack_from("<Q", data, 24)[0],
        "directory": [[kind, size] for kind, size, _ in directory],
        "ranges": [[start, size, crc(data, at, size)] for start, size, at in captured(data, streams)],
        "threads": list(threads(data, streams[StreamType.ThreadListStream])),
        "exception": exception(data, streams[StreamType.ExceptionStream]),
    }


def captured(data: bytes, streams: dict[int, int]) -> Iterator[tuple[int, int, int]]:
    """Yield start, size and file offset of every range, in list order."""
    if StreamType.MemoryListStream in streams:
        at = streams[StreamType.MemoryListStream]
        for index in range(*struct.unpack_from("<I", data, at)):
            yield struct.unpack_from("<QII", data, at + 4 + 16 * index)
        return
    at = streams[StreamType.Memory64ListStream]
    count, offset = struct.unpack_from("<QQ", data, at)
    for index in range(count):
        start, size = struct.unpack_from("<QQ", data, at + 16 + 16 * index)
        yield start, size, offset
        offset += size


def threads(data: bytes, at: int) -> Iterator[list[Any]]:
    for index in range(*struct.unpack_from("<I", data, at)):
        entry = struct.unpack_from("<4IQQ4I", data, at + 4 + 48 * index)
        start, size, rva, context_size, context = entry[5:]
        yield [entry[0], start, size, bool(rva), context_size, crc(data, context, context_size)]


def exception(data: bytes, at: int) -> list[Any]:
    size, context = struct.unpack_from("<II", data, at + 0xA0)
    return [size, crc(data, context, size)]


def crc(data: bytes, at: int, size: int) -> str:
    return f"{zlib.crc32(data[at : at + size]):08x}"


@pytest.mark.parametrize("scenario", [scenario.name for scenario in SCENARIOS])
def test_a_dump_of_our_full_dump_is_what_the_engine_wrote(scenario: str) -> None:
    target = run(scenario)
    assert isinstance(target, ProcessSnapshot)
    recorded = [row for row in rows("e29507-redumps") if row["target"] == scenario]
    assert len(recorded) == 29
    for row in recorded:
        ours = with_longer_tokens(facts(dump(target, row["format_flags"])), len(target.tokens))
        assert ours == {name: row[name] for name in ours}, f"flags {row['format_flags']:#x}"
    print(f"{scenario}: {len(recorded)} dumps, {sum(len(row['ranges']) for row in recorded)} ranges, 0 differences")


def with_longer_tokens(ours: Row, tokens: int) -> Row:
    longer = {StreamType.TokenStream: LONGER_TOKEN * tokens}
    directory = [[kind, size + longer.get(kind, 0)] for kind, size in ours["directory"]]
    has_tokens = any(kind == StreamType.TokenStream for kind, _ in directory)
    return ours | {"directory": directory, "size": ours["size"] + has_tokens * LONGER_TOKEN * tokens}


def test_every_recorded_dump_is_of_a_scenario() -> None:
    recorded = rows("e29507-redumps")
    assert {row["target"] for row in recorded} == {scenario.name for scenario in SCENARIOS}
    assert len(recorded) == 522
    assert sum(len(row["ranges"]) for row in recorded) == 8582


def process(architecture: str) -> ProcessSnapshot:
    return synthetic_process(architecture, threads=1, modules=1, stack_committed=PAGE_SIZE)


REGISTERS = {"x86": ("Esp", "Eip"), "amd64": ("Rsp", "Rip"), "arm64": ("Sp", "Pc")}


def ranges_of(data: bytes) -> list[list[int]]:
    count, at = struct.unpack_from("<II", data, 8)
    streams = {kind: at for kind, _, at in struct.iter_unpack("<III", data[at : at + 12 * count])}
    return sorted([start, size] for start, size, _ in captured(data, streams))


@pytest.mark.parametrize("architecture", REGISTERS)
def test_stacks_and_windows_of_odd_registers_are_those_of_the_engine(architecture: str) -> None:
    recorded = [row for row in rows("e29507-machines") if row["table"] == "pointers"]
    mine = [row for row in recorded if row["architecture"] == architecture]
    assert len(mine) == 21
    stack, instruction = REGISTERS[architecture]
    for row in mine:
        target = with_registers(process(architecture), {stack: row["sp"], instruction: row["ip"]})
        if row["label"] == "exception address elsewhere":
            assert target.exception is not None
            target = replace(target, exception=replace(target.exception, address=target.exception.address + 0x600))
        data = dump(target, row["format_flags"])
        assert ranges_of(data) == sorted(row["ranges"]), row["label"]
        assert facts(data)["threads"][0][1:3] == row["stack"], row["label"]


def pointing(architecture: str, label: str) -> ProcessSnapshot:
    """Return the process whose stack holds nothing but the pointer that the label of a record describes."""
    target = process(architecture)
    form, base = FORMS[architecture], target.threads[0].stack_limit
    middle = base + 0x800
    stack, image = middle + {"sp 4 mod 8": 4, "sp 3 mod 8": 3}.get(label, 0), form.first_image
    at, word = {
        "4-aligned 0x814 -> priv+0x1000": (0x814, form.heap + 0x1000),
        "4-aligned 0x814 (8-byte word)": (0x814, form.heap + 0x1000),
        "below sp 0x7f0": (0x7F0, form.heap + 0x1000),
        "near start priv+0x20": (0x810, form.heap + 0x20),
        "near end priv+0x2fc0": (0x810, form.heap + 0x2FC0),
        "image+0x4800": (0x810, image + 0x4800),
        "unreadable below priv-0x100": (0x810, form.heap - 0x100),
        "stack itself": (0x810, base + 0x400),
        "sp 4 mod 8": (0x814, form.heap + 0x1000),
        "sp 3 mod 8": (0x813, form.heap + 0x1000),
    }.get(label, (0x810, form.heap + 0x1000))
    target = with_bytes(target, base, bytes(PAGE_SIZE))
    target = with_bytes(target, base + at, word.to_bytes(form.pointer_size, "little"))
    return with_registers(target, {REGISTERS[architecture][0]: stack})


@pytest.mark.parametrize("architecture", REGISTERS)
def test_indirect_windows_are_those_of_the_engine(architecture: str) -> None:
    recorded = [row for row in rows("e29507-machines") if row["table"] == "indirect"]
    mine = [row for row in recorded if row["architecture"] == architecture]
    assert len(mine) == 10
    for row in mine:
        target = pointing(architecture, row["label"])
        assert ranges_of(dump(target, row["format_flags"])) == sorted(row["ranges"]), row["label"]


def with_block_at(target: ProcessSnapshot, architecture: str, label: str) -> ProcessSnapshot:
    """Return the process with its PEB or its TEB where the label of a record says: in the heap of three pages."""
    heap = FORMS[architecture].heap
    offset = {
        "PEB at priv+0x100": 0x100,
        "TEB at priv+0x100": 0x100,
        "PEB 0x400 before end of region": 0x2C00,
        "TEB 0x800 before end of region": 0x2800,
    }[label]
    if label.startswith("PEB"):
        return replace(target, process=replace(target.process, peb=heap + offset))
    block = target.read(target.threads[0].teb, 0x200)
    assert block is not None
    target = with_bytes(target, heap, bytes(3 * PAGE_SIZE))
    return replace(with_bytes(target, heap + offset, block), threads=(replace(target.threads[0], teb=heap + offset),))


@pytest.mark.parametrize("architecture", REGISTERS)
def test_process_and_thread_blocks_are_clipped_or_lost_as_by_the_engine(architecture: str) -> None:
    recorded = [row for row in rows("e29507-machines") if row["table"] == "blocks"]
    mine = [row for row in recorded if row["architecture"] == architecture]
    assert len(mine) == 5
    for row in mine:
        target = with_block_at(process(architecture), architecture, row["label"])
        assert ranges_of(dump(target, row["format_flags"])) == sorted(row["ranges"]), row["label"]


@pytest.mark.parametrize("architecture", ["x86", "arm64"])
def test_sizes_of_the_dumps_of_a_full_dump_are_those_of_the_engine(architecture: str) -> None:
    recorded = [
        row for row in rows("e29507-machines")
        if row["table"] == "sizes" and row["target"] == f"user_default_process-{architecture}"
    ]  # fmt: skip
    assert len(recorded) == 12
    for row in recorded:
        assert len(dump(process(architecture), row["format_flags"])) == row["size"], f"flags {row['format_flags']:#x}"


@pytest.mark.parametrize("architecture", ["x86", "arm64"])
@pytest.mark.parametrize("flags", [0, FULL_MEMORY, 0x8, 0x80, 0x8000, 0x10000, 0x20000])
def test_sizes_of_the_dumps_of_a_target_with_memory_for_every_flag(architecture: str, flags: int) -> None:
    """The source lacks handles, unloaded modules and memory info, so flags that copy them are left out.

    The target that was measured had emulator state in its TEBs (ChpeV2CpuAreaInfo). Today's has none.
    """
    target = flag_target(architecture, unreadable=False)
    if architecture == "arm64":
        for thread in target.threads:
            target = with_bytes(target, thread.teb + CHPE_CPU_AREA, b"\x01")
    (row,) = (
        row for row in rows("e29507-machines")
        if row["table"] == "sizes" and row["target"] == f"user_flags_{architecture}_full-memory"
        and row["format_flags"] == flags
    )  # fmt: skip
    assert len(dump(target, flags)) == row["size"]


def test_the_window_of_the_exception_is_around_its_address() -> None:
    recorded = [row for row in rows("e29507-machines") if row["table"] == "exceptions"]
    assert len(recorded) == 9
    target = run("null-read")
    assert isinstance(target, ProcessSnapshot)
    assert target.exception is not None
    for row in recorded:
        changed = tuple(
            (name, row["ip"] if name == "Rip" else value) for name, value in target.exception.context.registers
        )
        context = replace(target.exception.context, registers=changed)
        event = replace(target.exception, address=row["address"], context=context)
        data = dump(replace(target, exception=event), row["format_flags"])
        stacks = [entry[1:3] for entry in facts(data)["threads"]]
        assert [item for item in ranges_of(data) if item not in stacks] == sorted(row["ranges"]), row["label"]


@pytest.mark.parametrize("flags", [0, FULL_MEMORY])
def test_a_dump_target_without_shared_user_data_has_none_or_an_entry_of_size_0(flags: int) -> None:
    """The engine's answer for a target with a MemoryInfoList; docs/format/minidump-memory-ranges.md has both."""
    target = process("amd64")
    page = next(run_ for run_ in target.memory if run_.start == 0x7FFE0000)
    data = dump(replace(target, memory=tuple(run_ for run_ in target.memory if run_ is not page)), flags)
    assert [item for item in ranges_of(data) if item[0] == page.start] == ([[page.start, 0]] if flags else [])


def test_a_dump_target_without_the_peb_fails_the_request() -> None:
    target = process("amd64")
    gone = replace(target, process=replace(target.process, peb=0x10000))
    with pytest.raises(DumpRefused) as caught:
        dump(gone, 0x80)
    assert caught.value.hresult == 0x8007001E
