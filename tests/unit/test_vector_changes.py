"""The changes of vectors: each gives the bytes that it names, and keeps the rest of what the dump says."""

from __future__ import annotations

from functools import cache
from struct import unpack_from
from typing import Any

import pytest
from dumptruth.fixtures.vectors.build import make
from dumptruth.fixtures.vectors.recipe import load_recipes
from dumptruth.oracle import ByteSource, check, read_minidump
from dumptruth.oracle.conform.expecting import expected_facts

RECIPES = load_recipes()
CHANGED = {name: recipe for name, recipe in RECIPES.items() if recipe["change"] is not None}
SAME = [name for name in CHANGED if "/newer-" in name or "/sign-extended-" in name or "-bytes" in name]
"""Vectors whose dumps say what their bases say."""
NOT_SAID_AGAIN = ("memory", "streams")
"""Facts about the file, not about the target; the memory is compared by ranges."""


@cache
def data_of(name: str) -> bytes:
    data = make(RECIPES[name], RECIPES).data
    assert data is not None
    return data


@cache
def facts_of(name: str) -> dict[str, Any]:
    return dict(expected_facts(ByteSource(data_of(name))).facts)


def stream(data: bytes, number: int) -> tuple[int, int]:
    """Offset and size of a stream."""
    count, at = unpack_from("<II", data, 8)
    entries = {kind: (rva, size) for kind, size, rva in (unpack_from("<III", data, at + 12 * n) for n in range(count))}
    return entries[number]


@pytest.mark.parametrize("name", [name for name in SAME if "1147" not in name])
def test_a_dump_of_another_shape_says_the_same(name: str) -> None:
    base = facts_of(RECIPES[name]["base"])
    changed = facts_of(name)
    assert data_of(name) != data_of(RECIPES[name]["base"])
    assert {key for key in base if key not in NOT_SAID_AGAIN and base[key] != changed[key]} == set()
    assert base["memory"].ranges == changed["memory"].ranges


@pytest.mark.parametrize(
    ("case", "number", "at", "wanted"),
    [
        ("handles-header", 12, 0, (24, 40)),
        ("handles-entry", 12, 0, (16, 48)),
        ("unloaded-header", 14, 0, (20, 24)),
        ("unloaded-entry", 14, 0, (12, 32)),
        ("memory-info-header", 16, 0, (24, 48)),
        ("memory-info-entry", 16, 0, (16, 56)),
        ("thread-info-header", 17, 0, (20, 64)),
        ("thread-info-entry", 17, 0, (12, 72)),
        ("handle-operations-header", 18, 0, (24, 288)),
        ("handle-operations-entry", 18, 0, (16, 296)),
    ],
)
def test_a_list_of_a_newer_writer_has_the_sizes_that_it_stores(
    case: str, number: int, at: int, wanted: tuple[int, int]
) -> None:
    data = data_of(f"user/beyond/newer-{case}")
    rva, size = stream(data, number)
    header, entry = unpack_from("<II", data, rva + at)
    count = unpack_from("<I", data, rva + 8)[0]
    assert (header, entry) == wanted
    assert size == header + entry * count


@pytest.mark.parametrize(("case", "number", "size"), [("misc-info", 15, 1380), ("system-memory", 21, 540)])
def test_a_longer_record_of_a_newer_writer_has_its_size(case: str, number: int, size: int) -> None:
    data = data_of(f"user/beyond/newer-{case}")
    assert stream(data, number)[1] == size
    first = unpack_from("<H", data, stream(data, number)[0])[0]
    assert first == (size if number == 15 else 3), "SizeOfInfo, or a revision that no writer has today"


def places(name: str) -> list[tuple[int, int, int, int, int]]:
    """Of each thread: size of the context, offset and length of the state, Mask and CompactionMask."""
    data, found = data_of(f"user/beyond/xstate-shape-{name}"), []
    for thread in read_minidump(ByteSource(data)).threads:
        assert thread.context is not None
        start, fixed = thread.context.span.start, thread.context.record.structure.size
        offset, length = unpack_from("<iI", data, start + fixed + 16)
        found.append(
            (len(thread.context.span), offset, length, *unpack_from("<QQ", data, start + fixed + offset))
        )  # fmt: skip
    return found


def test_the_shapes_of_extended_state_are_those_of_real_files() -> None:
    assert places("1647-bytes") == [
        (1647, 76, 320, 4, 0), (1647, 84, 320, 0, 0), (1647, 92, 320, 4, 0), (1647, 76, 320, 0, 0),
    ]  # fmt: skip
    assert places("1147-bytes") == [(1147, offset, 336, 0, 0x8000_0000_0000_0804) for offset in (76, 84, 92, 76)]
    assert [row[4] for row in places("cet-that-is-not-announced")] == [0x8000_0000_0000_0804] * 4


def test_initial_values_are_zeros_in_the_registers_and_the_standard_format_has_all_registers() -> None:
    first = facts_of("user/beyond/xstate-shape-initial-values")["registers"][0]["vector"]
    assert first["ymm3"] == first["zmm31"] == first["k7"] == 0
    assert facts_of("user/beyond/xstate-shape-avx-512-standard")["registers"][0]["vector"]["zmm31"] != 0


def test_a_sign_extended_parameter_is_told_by_its_low_half() -> None:
    data = data_of("user/beyond/sign-extended-status")
    assert unpack_from("<3Q", data, stream(data, 6)[0] + 0x28) == (0, 0x1234_0000, 0xFFFF_FFFF_C000_0185)
    assert facts_of("user/beyond/sign-extended-status")["exception"]["parameters"] == (0, 0x1234_0000, 0xC000_0185)


def test_the_dump_of_arm_has_contexts_of_416_bytes_and_nothing_unused() -> None:
    data, facts = data_of("user/odd/arm"), facts_of("user/odd/arm")
    assert unpack_from("<H", data, stream(data, 7)[0])[0] == 5
    assert unpack_from("<I", data, stream(data, 6)[0] + 0xA0)[0] == 416
    assert check(ByteSource(data)).unclaimed == 0
    base = facts_of("user/small/x86")
    assert [thread["stack_start"] for thread in facts["threads"]] == [it["stack_start"] for it in base["threads"]]


def test_missing_streams_leave_nothing_behind() -> None:
    assert len(data_of("user/hostile/system-info-alone")) == 32 + 12 + 56 + 6
    assert "crash".encode("utf-16-le") not in data_of("user/hostile/no-module-list")
    assert {record["type"] for record in facts_of("user/hostile/no-thread-list")["streams"]}.isdisjoint({3, 6})


def test_64_bit_helpers_of_a_32_bit_dump_are_listed_above_4_gib() -> None:
    modules = facts_of("user/beyond/wow64-as-32-bit")["modules"]
    assert [module["base"] for module in modules[1:]] == [0x7700_0000, 0x7FFD_1234_0000]


@pytest.mark.parametrize("case", ["unsorted", "overlapping", "unsorted-and-overlapping"])
def test_runs_in_another_order_hold_the_same_pages(case: str) -> None:
    base, changed = facts_of("kernel/full-ranges/synthetic"), facts_of(f"kernel/beyond/runs-{case}")
    assert base["memory"].ranges == changed["memory"].ranges
    for start, end in base["memory"].ranges:
        for address in range(start, end, 0x1000):
            assert base["memory"].read(address, 0x1000) == changed["memory"].read(address, 0x1000)
