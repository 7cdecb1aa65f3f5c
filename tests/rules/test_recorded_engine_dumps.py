"""The entitlement allows and demands exactly what engine 29507 wrote in 522 recorded minidumps of 18 targets."""

from __future__ import annotations

import io
import json
import lzma
import tarfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from dumptruth.oracle.entitlement.duty import Duty
from dumptruth.oracle.entitlement.flags import TOKEN_INFORMATION, acceptable_header_flags, stack_of
from dumptruth.oracle.entitlement.refusal import refusal
from dumptruth.oracle.entitlement.survival import Survival
from dumptruth.oracle.entitlement.user import Entitlement
from dumptruth.oracle.entitlement.writers import E29507
from dumptruth.oracle.memory.intervals import RangeSet, outside, union
from dumptruth.oracle.truth.load import parse_truth
from dumptruth.oracle.truth.process import ProcessTruth, RequestTruth

RECORDED = Path(__file__).parents[1] / "data" / "engine"
SMALL, TRIAGE = 1024, 0x10000
FUNCTION_TABLES = 13
OF_FUNCTION_TABLES = frozenset({"unwind info"})
"""Allowed and required with stream 13. All recorded dumps of targets with function tables have it."""
Row = dict[str, Any]


@cache
def rows() -> tuple[Row, ...]:
    with lzma.open(RECORDED / "e29507-redumps.jsonl.xz", "rt", encoding="utf-8") as lines:
        return tuple(json.loads(line) for line in lines)


@cache
def truths() -> dict[str, ProcessTruth]:
    data = lzma.decompress((RECORDED / "e29507-redumps-truths.tar.xz").read_bytes())
    files: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            file = archive.extractfile(member)
            assert file is not None
            files[member.name] = file.read()
    names = sorted({name.partition("/")[0] for name in files})
    return {name: parse_truth(json.loads(files[f"{name}/truth.json"]), files[f"{name}/memory.bin"]) for name in names}


TARGETS = sorted({row["target"] for row in rows()})


def of(target: str) -> Iterator[tuple[Row, RequestTruth]]:
    for row in rows():
        if row["target"] == target:
            yield row, RequestTruth("", SMALL, (), row["format_flags"], None, "modern", "", (), "e29507", "dump")


def streams(row: Row) -> list[int]:
    return [kind for kind, _ in row["directory"]]


def captured(row: Row) -> list[tuple[int, int]]:
    return union((start, start + size) for start, size, _ in row["ranges"])


def forbidden(entitled: Entitlement, row: Row, held: list[tuple[int, int]]) -> list[tuple[int, int]]:
    without = frozenset[str]() if FUNCTION_TABLES in streams(row) else OF_FUNCTION_TABLES
    return [part for start, end in held for part in entitled.ungranted(start, end, without)]


def missing(entitled: Entitlement, held: list[tuple[int, int]]) -> list[str]:
    return [
        f"{grant.reason}: {piece.subject}, {start:#x}..{end:#x}"
        for grant in entitled.grants
        if grant.duty is Duty.MUST or grant.clause.name in OF_FUNCTION_TABLES
        for piece in grant.pieces
        for start, end in outside(held, piece.start, piece.end)
    ]


def test_every_target_was_dumped_under_29_sets_of_flags() -> None:
    assert len(rows()) == 522
    assert {target: len(list(of(target))) for target in TARGETS} == dict.fromkeys(truths(), 29)


@pytest.mark.parametrize("target", TARGETS)
def test_the_recorded_bytes_are_those_of_the_truth(target: str) -> None:
    truth = truths()[target]
    for row, asked in of(target):
        for start, size, checksum in row["ranges"]:
            held = truth.read(start, size)
            assert held is not None
            data = bytearray(held)
            if asked.format_flags_value & TRIAGE:
                data = triaged(truth, start, data)
            assert f"{crc32(data):08x}" == checksum, (row["format_flags"], start)


def triaged(truth: ProcessTruth, start: int, data: bytearray) -> bytearray:
    """Memory from ``start`` on as FILTER_TRIAGE leaves it. All recorded stacks begin at a word."""
    survival = Survival(truth, [E29507])
    stacks = RangeSet(stack_of(truth, thread) for thread in truth.threads)
    for index, thread in enumerate(truth.threads):
        low, high = stack_of(truth, thread)
        for address in range(max(low, start), min(high, start + len(data)), 8):
            place = slice(address - start, address - start + 8)
            word = int.from_bytes(data[place], "little")
            if word not in stacks and survival.keeps_word(word, index) is False:
                data[place] = b"\xaa" * 8
    return data


@pytest.mark.parametrize("contract", ["e29507", "documented"])
@pytest.mark.parametrize("target", TARGETS)
def test_nothing_forbidden_is_in_a_recorded_dump_and_nothing_required_is_missing(target: str, contract: str) -> None:
    truth = truths()[target]
    for row, engine in of(target):
        asked = RequestTruth("", SMALL, (), engine.format_flags_value, None, "modern", "", (), contract, "dump")
        assert refusal(truth, asked) is None
        entitled, held = Entitlement(truth, asked), captured(row)
        assert (row["format_flags"], forbidden(entitled, row, held)) == (row["format_flags"], [])
        assert (row["format_flags"], missing(entitled, held)) == (row["format_flags"], [])


@pytest.mark.parametrize("target", TARGETS)
def test_flags_and_streams_of_a_recorded_dump_are_those_that_the_contract_names(target: str) -> None:
    for row, asked in of(target):
        token = TOKEN_INFORMATION if 19 in streams(row) else 0
        assert [flags | token for flags in acceptable_header_flags(asked)] == [row["header_flags"]]
        entitled = Entitlement(truths()[target], asked)
        for stream in range(3, 26):
            duty, why = entitled.stream(stream)
            there = stream in streams(row)
            assert duty is Duty.MAY or there is (duty is Duty.MUST), (row["format_flags"], stream, why)


@pytest.mark.parametrize("target", TARGETS)
def test_the_descriptor_of_a_recorded_stack_has_its_rva_exactly_if_the_stack_is_a_range(target: str) -> None:
    threads = {thread.thread_id: thread for thread in truths()[target].threads}
    for row, _ in of(target):
        ranges = {(start, size) for start, size, _ in row["ranges"]}
        for number, start, size, placed, *_ in row["threads"]:
            low, high = stack_of(truths()[target], threads[number])
            assert (start, size) == (low, high - low)
            assert placed is ((low, high - low) in ranges)


@pytest.mark.parametrize("flags", [0, 0x88, 0x9098, 0x10000])
def test_a_recorded_dump_with_more_or_less_memory_is_noticed(flags: int) -> None:
    """Each range is shortened by a byte on both sides, and lengthened by 17, the first gap that nobody bridges."""
    shortened = lengthened = 0
    for target in ("null-read", "every-stream"):
        row, asked = next((row, asked) for row, asked in of(target) if row["format_flags"] == flags)
        truth = truths()[target]
        entitled, held = Entitlement(truth, asked), captured(row)
        allowed = [span for grant in entitled.grants if grant.duty is Duty.MAY for span in grant.union]
        for start, end in held:
            if any(low < start + 1 and end - 1 < high for low, high in allowed):
                continue
            rest = [span for span in held if span != (start, end)]
            for less in ((start + 1, end), (start, end - 1)):
                assert missing(entitled, union([*rest, less])), hex(start)
                shortened += 1
            more = [(start - 17, start), (end, end + 17)]
            readable = [span for span in more if truth.read(span[0], 17) is not None]
            for span in readable:
                if any(outside(held, *span)):
                    assert forbidden(entitled, row, [span]), f"{span[0]:#x} is allowed beside {start:#x}..{end:#x}"
                    lengthened += 1
    assert shortened > 40
    assert lengthened > 20
