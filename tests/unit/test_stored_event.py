"""The exception of a dump, taken from structures in the target's memory."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from dumptruth.emu.constants import DEBUG_DUMP_SMALL, Hresult
from dumptruth.emu.debugger.stored_event import EventSource, with_event
from dumptruth.emu.request import DumpRefused, Request
from dumptruth.emu.snapshot.process import ProcessSnapshot
from dumptruth.emu.snapshot.processor_state import REGISTERS
from dumptruth.emu.synthetic.flag_process import flag_target
from dumptruth.emu.synthetic.process import Pages, address_space, synthetic_process
from dumptruth.emu.writer.contexts import add_context
from dumptruth.emu.writer.layout import Layout, Section
from dumptruth.emu.writer.minidump import dump_bytes
from dumptruth.emu.writer.sinks import BytesSink

PLACE = 0x300_0000_0000
CONTEXT, RECORD, POINTERS, JIT = PLACE, PLACE + 0x800, PLACE + 0xA00, PLACE + 0xB00


def context_bytes(snapshot: ProcessSnapshot, thread: int) -> bytes:
    """A thread's CONTEXT as bytes in the target's memory."""
    section, layout, sink = Section("c"), Layout(), BytesSink()
    add_context(section, "c", snapshot.threads[thread].context, snapshot.system.architecture)
    layout.place(section)
    layout.freeze()
    layout.emit(sink)
    return sink.getvalue()


def target(*, exception: bool = True, thread: int = 1, count: int = 2, size: int = 40) -> ProcessSnapshot:
    """A process with the structures in its memory. They describe its second thread."""
    plain = synthetic_process(exception=exception)
    page = bytearray(0x1000)
    context = context_bytes(plain, thread)
    page[: len(context)] = context
    struct.pack_into("<IIQQI4x15Q", page, 0x800, 0xC0000409, 1, 0x77, 0xDEAD, count, 5, 6, *[9] * 13)
    struct.pack_into("<QQ", page, 0xA00, RECORD, CONTEXT)
    struct.pack_into("<IIIIQQQ", page, 0xB00, size, 9, 0x123C, 0, 0xDEAD, RECORD, CONTEXT)
    return synthetic_process(exception=exception, extra=[Pages(PLACE, 0x1000, data=bytes(page))])


def test_without_a_source_the_target_is_unchanged() -> None:
    snapshot = target()
    assert with_event(snapshot, EventSource()) is snapshot


@pytest.mark.parametrize("exception", [True, False])
def test_pointers_give_record_and_context(exception: bool) -> None:
    snapshot = target(exception=exception)
    event = with_event(snapshot, EventSource(pointers=POINTERS)).exception
    assert event is not None
    assert (event.code, event.flags, event.record, event.address) == (0xC0000409, 1, 0x77, 0xDEAD)
    assert event.information == (5, 6)
    assert event.context == snapshot.threads[1].context
    assert event.thread_id == snapshot.threads[0].thread_id


def test_a_record_alone_goes_with_the_context_of_the_event() -> None:
    snapshot = target()
    event = with_event(snapshot, EventSource(record=RECORD)).exception
    assert event is not None
    assert snapshot.exception is not None
    assert event.code == 0xC0000409
    assert event.context == snapshot.exception.context


def test_a_context_alone_goes_with_the_record_of_the_event() -> None:
    snapshot = target()
    event = with_event(snapshot, EventSource(context=CONTEXT)).exception
    assert event is not None
    assert snapshot.exception is not None
    assert event == replace(snapshot.exception, context=snapshot.threads[1].context)


def test_a_thread_brings_its_own_context_along() -> None:
    snapshot = target()
    event = with_event(snapshot, EventSource(thread=0x123C)).exception
    assert event is not None
    assert snapshot.exception is not None
    assert event == replace(snapshot.exception, thread_id=0x123C, context=snapshot.threads[1].context)
    mixed = with_event(snapshot, EventSource(thread=0x123C, record=RECORD)).exception
    assert mixed is not None
    assert (mixed.thread_id, mixed.code) == (0x123C, 0xC0000409)


@pytest.mark.parametrize("exception", [True, False])
def test_a_jit_debug_info_gives_all_three(exception: bool) -> None:
    snapshot = target(exception=exception)
    event = with_event(snapshot, EventSource(jit=JIT)).exception
    assert event is not None
    assert (event.thread_id, event.code, event.context) == (0x123C, 0xC0000409, snapshot.threads[1].context)


def test_the_dump_stores_what_was_asked_for() -> None:
    data, result = dump_bytes(with_event(target(), EventSource(pointers=POINTERS)), Request(DEBUG_DUMP_SMALL))
    offset, size = result.layout.field("Exception", "ExceptionRecord.ExceptionCode")
    assert int.from_bytes(data[offset : offset + size], "little") == 0xC0000409


@pytest.mark.parametrize("architecture", ["x86", "arm64"])
def test_structures_have_the_size_of_the_targets_pointers(architecture: str) -> None:
    snapshot = flag_target(architecture, unreadable=False)
    place = 0x0300_0000
    page = bytearray(0x1000)
    context = context_bytes(snapshot, 2)
    page[: len(context)] = context
    form = "<IIIII15I" if architecture == "x86" else "<IIQQI4x15Q"
    struct.pack_into(form, page, 0x800, 0xC0000094, 0, 0, 0x401000, 1, 7, *[0] * 14)
    struct.pack_into("<II" if architecture == "x86" else "<QQ", page, 0xC00, place + 0x800, place)
    _, memory, _ = address_space([Pages(place, 0x1000, data=bytes(page))])
    runs = tuple(sorted((*snapshot.memory, *memory), key=lambda run: run.start))
    event = with_event(replace(snapshot, memory=runs), EventSource(pointers=place + 0xC00)).exception
    assert event is not None
    assert (event.code, event.address, event.information) == (0xC0000094, 0x401000, (7,))
    assert event.context == replace(snapshot.threads[2].context, xstate=None)
    assert [name for name, _ in event.context.registers] == list(REGISTERS[architecture])


@pytest.mark.parametrize("name", ["context", "record", "pointers", "jit"])
@pytest.mark.parametrize("address", [0x10, PLACE + 0xFF8, (1 << 64) - 8])
def test_memory_that_cannot_be_read_refuses_the_dump(name: str, address: int) -> None:
    with pytest.raises(DumpRefused, match=f"{address:#x}: .* cannot be read") as refused:
        with_event(target(), EventSource(**{name: address}))
    assert refused.value.hresult == Hresult.ERROR_PARTIAL_COPY


@pytest.mark.parametrize(
    ("snapshot", "source", "message"),
    [
        (target(), EventSource(thread=0x9999), "no thread 0x9999"),
        (target(exception=False), EventSource(context=CONTEXT), "no exception"),
        (target(exception=False), EventSource(thread=0x123C), "no exception"),
        (target(count=16), EventSource(record=RECORD), "EXCEPTION_RECORD .*: 16 parameters, expected at most 15"),
        (target(size=0), EventSource(jit=JIT), "dwSize is 0x0, expected at least 0x28"),
        (synthetic_process(threads=0, exception=False), EventSource(thread=1), "no thread"),
    ],
)
def test_invalid_events_are_refused(snapshot: ProcessSnapshot, source: EventSource, message: str) -> None:
    with pytest.raises(DumpRefused, match=message) as refused:
        with_event(snapshot, source)
    assert refused.value.hresult == Hresult.E_INVALIDARG


def test_the_bit_for_extended_state_goes_with_the_state_that_is_not_taken_over() -> None:
    snapshot = target()
    thread = replace(snapshot.threads[1], context=replace(snapshot.threads[1].context, context_flags=0x10005F))
    marked = replace(snapshot, threads=(snapshot.threads[0], thread))
    page = bytearray(marked.read(PLACE, 0x1000) or b"")
    page[0x30:0x34] = (0x10005F).to_bytes(4, "little")
    runs = tuple(replace(run, data=bytes(page)) if run.start == PLACE else run for run in marked.memory)
    event = with_event(replace(marked, memory=runs), EventSource(context=CONTEXT)).exception
    assert event is not None
    assert event.context.context_flags == 0x10001F
