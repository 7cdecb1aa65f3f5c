"""``describe`` answers "what is this dump?", and its JSON follows the published schema."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from dumptruth.fixtures.mutants.hand_pristine import pristine as hand_pristine
from dumptruth.fixtures.mutants.kernel_pristine import pristine as kernel_pristine
from dumptruth.fixtures.mutants.pristine import pristine
from dumptruth.fixtures.mutants.registry import BaseDump
from dumptruth.oracle import describe
from dumptruth.oracle.identity.as_json import as_object
from dumptruth.oracle.identity.model import DumpDescription
from dumptruth.oracle.identity.text import lists, rows
from hypothesis import given, settings
from hypothesis import strategies as st

from .schemas import validator

USER = (BaseDump.SMALL, BaseDump.MEMORY, BaseDump.STREAMS, BaseDump.X86_TARGET)
KERNEL = (BaseDump.KERNEL_FULL, BaseDump.KERNEL_HEADER, BaseDump.KERNEL_SMALL_A, BaseDump.KERNEL_SMALL_B)
HAND = (BaseDump.USERDUMP, BaseDump.CAB_IMAGES)


@cache
def data_of(base: BaseDump) -> bytes:
    if base in KERNEL:
        return kernel_pristine(base).data
    return pristine(base).data if base in USER else hand_pristine(base).data


def told(base: BaseDump) -> DumpDescription:
    dump = describe(data_of(base)).dump
    assert dump is not None
    return dump


def as_json(data: bytes) -> dict[str, Any]:
    document = as_object(describe(data), "a.dmp", lists=True)
    validator("identity-1.json").validate(document)
    return document


def test_a_minidump_is_described_as_its_target_is() -> None:
    case = pristine(BaseDump.SMALL)
    snapshot, dump = case.snapshot, told(BaseDump.SMALL)
    event = snapshot.exception
    assert event is not None
    assert dump.crash is not None
    assert (dump.crash.code, dump.crash.address) == (event.code, event.address)
    assert dump.crash.name == "STATUS_ACCESS_VIOLATION"
    assert [item.value for item in dump.crash.parameters] == list(event.information)
    assert dump.crash.parameters[0].value_name in ("read", "write")
    home = next(item for item in snapshot.modules if item.base <= event.address < item.base + item.size)
    assert dump.crash.location == f"{home.name.rpartition(chr(92))[2]}+{event.address - home.base:#x}"
    assert dump.crash.thread is not None
    assert dump.crash.thread.id == event.thread_id
    assert dump.process is not None
    assert dump.process.id == snapshot.process.process_id
    assert dump.system is not None
    assert dump.system.version.endswith(str(snapshot.system.build_number))
    assert [item.id for item in dump.lists.threads or ()] == [item.thread_id for item in snapshot.threads]
    assert [item.base for item in dump.lists.modules] == [item.base for item in snapshot.modules]


def test_a_kernel_dump_is_described_as_its_machine_is() -> None:
    case, dump = kernel_pristine(BaseDump.KERNEL_SMALL_A), told(BaseDump.KERNEL_SMALL_A)
    assert dump.crash is not None
    assert dump.crash.name == "DRIVER_IRQL_NOT_LESS_OR_EQUAL"
    values = [(item.value, item.value_name) for item in dump.crash.parameters[:3]]
    assert values == [(0x10, None), (2, "DISPATCH_LEVEL"), (0, "read")]
    assert dump.crash.address_from == "parameter 4"
    assert dump.crash.parameters[3].location == dump.crash.location
    assert [item.base for item in dump.lists.modules] == [item.base for item in case.snapshot.drivers]
    assert dump.system is not None
    assert (dump.system.name, dump.system.processors) == ("Windows 10 2004 to 22H2", 2)


def test_a_complete_kernel_dump_tells_its_pages() -> None:
    total = sum(count for _, count in kernel_pristine(BaseDump.KERNEL_FULL).snapshot.physical_runs)
    memory = told(BaseDump.KERNEL_FULL).memory
    assert (memory.extent, memory.pages, memory.bytes, memory.ranges) == ("physical pages", total, total * 4096, 3)


def test_a_cabinet_is_described_with_the_dump_inside() -> None:
    described = describe(data_of(BaseDump.CAB_IMAGES))
    assert described.member == "crash.dmp"
    assert [item.name for item in described.members][:2] == ["crash.dmp", "a.exe"]
    assert described.dump is not None
    assert described.dump.kind == "userdump"
    assert described.dump.crash is not None
    assert (described.dump.crash.code, described.dump.crash.address) == (0xC0000005, 0x401200)
    shown = dict(rows(described))
    assert shown["dump"] == ("crash.dmp, a legacy full user-mode dump, 64-bit",)
    assert shown["members"][0] == "crash.dmp, 35.2 KiB"


def test_what_a_minidump_holds_and_lacks_are_all_parts_that_users_look_for() -> None:
    dump = told(BaseDump.SMALL)
    assert {"exception", "threads", "modules", "memory"} <= set(dump.holds)
    assert not set(dump.holds) & set(dump.lacks)
    every = {"system information", "exception", "threads", "thread times", "thread names", "modules", "memory"}
    every |= {"unloaded modules", "memory regions", "handles", "process information"}
    assert every <= set(dump.holds) | set(dump.lacks)


@pytest.mark.parametrize(
    ("base", "extent"),
    [
        (BaseDump.SMALL, "stacks and more"),
        (BaseDump.MEMORY, "full"),
        (BaseDump.USERDUMP, "full"),
        (BaseDump.KERNEL_SMALL_B, "ranges"),
        (BaseDump.KERNEL_FULL, "physical pages"),
        (BaseDump.KERNEL_HEADER, "none"),
    ],
)
def test_the_extent_of_the_memory_is_told(base: BaseDump, extent: str) -> None:
    assert told(base).memory.extent == extent


def test_a_file_that_is_no_dump_has_no_description() -> None:
    described = describe(b"MZ" + bytes(100))
    assert (described.kind, described.dump, rows(described)) == ("mz", None, [])


@pytest.mark.parametrize("base", [*USER, *KERNEL, *HAND])
def test_the_json_follows_its_schema(base: BaseDump) -> None:
    document = as_json(data_of(base))
    assert document["dump"]["lists"]["modules"] or base is BaseDump.KERNEL_HEADER


def test_the_json_without_lists_has_their_counts() -> None:
    document = as_object(describe(data_of(BaseDump.SMALL)), "a.dmp")
    validator("identity-1.json").validate(document)
    assert document["dump"]["lists"] is None
    assert document["dump"]["counts"]["threads"] == len(pristine(BaseDump.SMALL).snapshot.threads)


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=200), st.sampled_from((*USER, *KERNEL, *HAND)), st.data())
def test_a_damaged_dump_is_described_too(noise: bytes, base: BaseDump, data: st.DataObject) -> None:
    whole = data_of(base)
    at = data.draw(st.one_of(st.integers(8, len(whole) - 1), st.integers(8, min(0x2100, len(whole) - 1))))
    damaged = whole[:at] + noise + whole[at + len(noise) :]
    as_json(damaged)
    rows(describe(damaged))
    lists(describe(damaged))
