"""Streams 10, 13, 18, 19, user streams and XSTATE contexts, read back by offsets typed from docs/format."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from dumptruth.emu.constants import DEBUG_DUMP_DEFAULT, DEBUG_DUMP_SMALL, FormatFlag, Hresult, StreamType
from dumptruth.emu.process.tokens import sid, token_of
from dumptruth.emu.request import Contract, DumpRefused, Request, Session, UserStream
from dumptruth.emu.snapshot.process import (
    FunctionTable,
    HandleOperation,
    ProcessSnapshot,
    XstateConfiguration,
    XstateFeature,
)
from dumptruth.emu.snapshot.processor_state import AVX_STATE
from dumptruth.emu.synthetic.process import synthetic_process, synthetic_system
from dumptruth.emu.synthetic.stream_process import GENERATED_CODE, generated_code, stream_target
from dumptruth.emu.writer.layout import LayoutError, LayoutOverflow
from dumptruth.emu.writer.minidump import dump_bytes

TARGET = stream_target()
HANDLES = FormatFlag.DEBUG_FORMAT_USER_SMALL_HANDLE_DATA
AVX = FormatFlag.DEBUG_FORMAT_USER_SMALL_ADD_AVX_XSTATE_CONTEXT
FULL = FormatFlag.DEBUG_FORMAT_USER_SMALL_FULL_MEMORY
S = StreamType


def write(target: ProcessSnapshot, flags: int = 0, **asked: object) -> bytes:
    return dump_bytes(target, Request(DEBUG_DUMP_SMALL, flags, **asked))[0]  # type: ignore[arg-type]


def directory(data: bytes) -> dict[int, tuple[int, int]]:
    """Stream type -> (rva, size)."""
    count, at = struct.unpack_from("<II", data, 8)
    entries = [struct.unpack_from("<III", data, at + 12 * index) for index in range(count)]
    used = [entry for entry in entries if entry[0] != S.UnusedStream]
    assert entries == used + [(0, 0, 0)] * (count - len(used)), "unused entries are empty and come last"
    assert len({entry[0] for entry in used}) == len(used)
    return {kind: (rva, size) for kind, size, rva in used}


def unused_entries(data: bytes) -> int:
    return int(struct.unpack_from("<I", data, 8)[0]) - len(directory(data))


def stream(data: bytes, kind: int) -> bytes:
    rva, size = directory(data)[kind]
    return data[rva : rva + size]


def flags_of(data: bytes) -> int:
    return int.from_bytes(data[24:32], "little")


# --- function tables


def test_a_function_table_stream_is_laid_out_as_the_real_ones_are() -> None:
    data = write(TARGET)
    rva, size = directory(data)[S.FunctionTableStream]
    header = struct.unpack_from("<6I", data, rva)
    assert header[:5] == (24, 32, 136, 12, 3)
    at = rva + 24 + header[5]
    for table in TARGET.function_tables:
        assert at % 8 == 0
        low, high, base, count, pad = struct.unpack_from("<QQQII", data, at)
        assert (low, high, base) == (table.minimum_address, table.maximum_address, table.base_address)
        assert count == len(table.entries)
        assert data[at + 32 : at + 168] == table.native
        at += 168
        assert at % 8 == 0
        for entry in table.entries:
            assert struct.unpack_from("<3I", data, at) == (entry.begin_address, entry.end_address, entry.unwind_data)
            at += 12
        assert pad == (4 if count % 2 else 0)
        assert data[at : at + pad] == bytes(pad)
        at += pad
    assert size == 24 + 3 * (32 + 136 + 8) + 12 * 6
    assert data[at : rva + size] == bytes(rva + size - at)


@pytest.mark.parametrize("comment", [None, "x"])  # one more directory entry moves the stream by 12 bytes
@pytest.mark.parametrize("counts", [(1,), (2,), (0,), (1, 1, 1, 1), (0, 3, 2, 1)])
def test_descriptors_and_entries_are_aligned_wherever_the_stream_starts(
    counts: tuple[int, ...], comment: str | None
) -> None:
    code = generated_code(counts)
    data = write(synthetic_process(function_tables=code.tables, extra=code.pages), comment=comment)
    rva, size = directory(data)[S.FunctionTableStream]
    at = rva + 24 + struct.unpack_from("<I", data, rva + 20)[0]
    for count in counts:
        assert at % 8 == 0
        found, pad = struct.unpack_from("<II", data, at + 24)
        assert found == count
        at += 168 + 12 * count + pad
    assert at <= rva + size == rva + 24 + len(counts) * 176 + 12 * sum(counts)


def test_both_alignments_of_the_stream_occur() -> None:
    code = generated_code((1,))
    target = synthetic_process(function_tables=code.tables, extra=code.pages)
    starts = {directory(write(target, comment=comment))[S.FunctionTableStream][0] % 8 for comment in (None, "x")}
    assert starts == {0, 4}


def test_unwind_data_comes_with_the_tables_and_not_without() -> None:
    target = stream_target()
    _, result = dump_bytes(target, Request(DEBUG_DUMP_SMALL))
    ranges = [(planned.start, planned.end) for planned in result.plan.ranges]
    for table in target.function_tables:
        for entry in table.entries:
            start = table.base_address + entry.unwind_data
            raw = target.read(start, 3)
            assert raw is not None
            assert any(low <= start and start + 4 + 2 * raw[2] <= high for low, high in ranges)
    without = dump_bytes(replace(target, function_tables=()), Request(DEBUG_DUMP_SMALL))[1]
    assert not any(planned.start >= GENERATED_CODE + 0x800 and planned.end <= GENERATED_CODE + 0x1000
                   for planned in without.plan.ranges)  # fmt: skip
    assert not without.plan.has(S.FunctionTableStream)


def test_native_descriptors_of_two_sizes_are_refused() -> None:
    tables = TARGET.function_tables
    odd: list[FunctionTable] = [tables[0], replace(tables[1], native=bytes(112))]
    for broken in (odd, [replace(tables[0], native=bytes(90))]):
        with pytest.raises(LayoutError, match="native descriptors"):
            write(replace(TARGET, function_tables=tuple(broken)))


# --- handles, tokens


def test_handle_operations_come_with_the_handles() -> None:
    assert S.HandleOperationListStream not in directory(write(TARGET))
    data = stream(write(TARGET, HANDLES), S.HandleOperationListStream)
    assert struct.unpack_from("<4I", data) == (16, 288, 3, 0)
    assert len(data) == 16 + 3 * 288
    for index, operation in enumerate(TARGET.handle_operations):
        at = 16 + 288 * index
        handle, process, thread, kind, spare, depth, number = struct.unpack_from("<QIIIIII", data, at)
        assert (handle, process, thread) == (operation.handle, operation.process_id, operation.thread_id)
        assert (kind, spare, number) == (operation.operation_type, 0, operation.index)
        assert depth == len(operation.return_addresses)
        addresses = struct.unpack_from("<32Q", data, at + 32)
        assert addresses == operation.return_addresses + (0,) * (32 - depth)
    assert {operation.operation_type for operation in TARGET.handle_operations} == {1, 2, 3}


def test_without_a_trace_there_is_no_operation_list() -> None:
    assert S.HandleOperationListStream not in directory(write(replace(TARGET, handle_operations=()), HANDLES))


def test_more_return_addresses_than_there_is_room_for_are_refused() -> None:
    long = HandleOperation(4, 1, 2, 1, 0, tuple(range(33)))
    with pytest.raises(LayoutOverflow, match="ReturnAddresses"):
        write(replace(TARGET, handle_operations=(long,)), HANDLES)


def test_tokens_bring_their_flag_and_elements_with_references_inside_them() -> None:
    data = write(TARGET)
    assert flags_of(data) == 0x40000
    body = stream(data, S.TokenStream)
    size, entries, header, element_header = struct.unpack_from("<4I", body)
    assert (size, entries, header, element_header) == (len(body), 2, 16, 72)
    at = 16
    for token in TARGET.tokens:
        length, owner, handle = struct.unpack_from("<IIQ", body, at)
        assert (owner, handle) == (token.token_id, token.handle)
        parts = [struct.unpack_from("<II", body, at + 16 + 8 * index) for index in range(7)]
        assert [part for part in parts if part == (0, 0)] == [parts[3], parts[6]]
        kind, user, groups, _, privileges, statistics, _ = (
            body[at + offset : at + offset + count] for offset, count in parts
        )
        assert all(offset % 8 == 0 and offset + count <= length for offset, count in parts)
        assert struct.unpack("<I", kind) == (token.token_type,)
        assert struct.unpack_from("<II", user) == (8, 0)
        assert user[8:] == token.user.sid
        assert struct.unpack_from("<I", groups)[0] == len(token.groups)
        end = 8 + 8 * len(token.groups)
        assert not any(groups[end - 4 : end])
        for index, group in enumerate(token.groups):
            where, attributes = struct.unpack_from("<II", groups, 4 + 8 * index)
            assert (where, attributes) == (end, group.attributes)
            end = where + len(group.sid)
            assert groups[where:end] == group.sid
        assert groups[end:] == bytes(8 * len(token.groups))
        assert privileges == struct.pack("<I", 5) + b"".join(
            struct.pack("<QI", item.luid, item.attributes) for item in token.privileges
        )
        assert statistics == token.statistics
        at += length
    assert at == len(body)


def test_a_sid_is_its_revision_its_authority_and_its_sub_authorities() -> None:
    assert sid("S-1-5-32-545").hex() == "01020000000000052000000021020000"
    assert sid("S-1-16-8192").hex() == "010100000000001000200000"
    with pytest.raises(ValueError, match="not a SID"):
        sid("B-1-5")


def test_a_snapshot_without_tokens_has_an_empty_list() -> None:
    plain = replace(TARGET, tokens=())
    assert flags_of(write(plain)) == 0x40000
    assert flags_of(dump_bytes(plain, Request(DEBUG_DUMP_DEFAULT))[0]) == 0x61826
    assert stream(write(plain), S.TokenStream) == struct.pack("<4I", 16, 0, 16, 72)


def test_filter_triage_drops_the_token_and_its_bit() -> None:
    data = write(TARGET, 0x10000)
    assert S.TokenStream not in directory(data)
    assert flags_of(data) == 0x100080


@pytest.mark.parametrize(
    ("target", "flags", "unused"),
    [
        (TARGET, 0, 4), (TARGET, HANDLES, 4), (replace(TARGET, handle_operations=()), HANDLES, 5),
        (replace(TARGET, handle_operations=(), handles=()), HANDLES, 6),
    ],
)  # fmt: skip
def test_handle_data_reserves_two_entries_that_may_stay_unused(
    target: ProcessSnapshot, flags: int, unused: int
) -> None:
    assert unused_entries(write(target, flags)) == unused


@pytest.mark.parametrize(("contract", "native"), [("e15063", 112), ("e29507", 136)])
def test_the_native_descriptor_has_the_size_that_the_engine_knows(contract: str, native: int) -> None:
    data = write(TARGET, contract=Contract(contract))
    rva, size = directory(data)[S.FunctionTableStream]
    assert struct.unpack_from("<I", data, rva + 8) == (native,)
    assert size == 24 + 3 * (32 + native + 8) + 12 * 6


@pytest.mark.parametrize(("contract", "size", "revision"), [("e15063", 492, 1), ("e29507", 524, 2)])
def test_system_memory_info_has_the_form_of_the_engine_and_is_zero_of_a_dump(
    contract: str, size: int, revision: int
) -> None:
    live = write(TARGET, contract=Contract(contract))
    assert len(stream(live, S.SystemMemoryInfoStream)) == size
    assert struct.unpack_from("<H", stream(live, S.SystemMemoryInfoStream)) == (revision,)
    reopened = write(TARGET, contract=Contract(contract), session=Session.DUMP)
    assert stream(reopened, S.SystemMemoryInfoStream) == bytes(size)
    assert stream(reopened, S.ProcessVmCountersStream) == bytes(152)
    assert struct.unpack_from("<H", stream(live, S.ProcessVmCountersStream)) == (2,)


@pytest.mark.parametrize(("contract", "version"), [("e15063", 0xA0D7A793), ("e29507", 0xA043A793)])
def test_the_version_is_that_of_the_engine(contract: str, version: int) -> None:
    data = write(TARGET, contract=Contract(contract))
    assert struct.unpack_from("<I", data, 4) == (version,)
    build = f"10.0.{contract[1:]}".encode("utf-16-le")
    assert build in stream(data, S.MiscInfoStream)


def test_token_statistics_of_another_size_are_refused() -> None:
    token = replace(token_of(1, 4), statistics=bytes(48))
    with pytest.raises(LayoutError, match="TOKEN_STATISTICS of 48 bytes"):
        write(replace(TARGET, tokens=(token,)))


# --- streams of the caller


def test_a_comment_in_bytes_is_stream_10_and_text_is_stream_11() -> None:
    ansi = write(TARGET, comment=b"caf\xe9")
    assert stream(ansi, S.CommentStreamA) == b"caf\xe9\0"
    assert S.CommentStreamW not in directory(ansi)
    wide = write(TARGET, comment="caf\u00e9")
    assert stream(wide, S.CommentStreamW) == "caf\u00e9\0".encode("utf-16-le")
    assert S.CommentStreamA not in directory(wide)


def test_without_a_comment_there_is_no_stream() -> None:
    assert {S.CommentStreamA, S.CommentStreamW}.isdisjoint(directory(write(TARGET, comment=None)))


@pytest.mark.parametrize(
    ("comment", "present", "absent", "content"),
    [("", S.CommentStreamW, S.CommentStreamA, b"\0\0"), (b"", S.CommentStreamA, S.CommentStreamW, b"\0")],
)
def test_an_empty_comment_is_a_stream_of_one_nul(comment: str | bytes, present: S, absent: S, content: bytes) -> None:
    """docs/format/minidump-user-streams.md: both engines write it."""
    data = write(TARGET, comment=comment)
    assert stream(data, present) == content
    assert absent not in directory(data)


@pytest.mark.parametrize("comment", ["a\0b", b"a\0"])
def test_a_comment_with_a_nul_inside_is_refused(comment: str | bytes) -> None:
    with pytest.raises(DumpRefused, match="Comment") as caught:
        write(TARGET, comment=comment)
    assert caught.value.hresult == Hresult.E_INVALIDARG


@pytest.mark.parametrize("flags", [0, FULL | HANDLES])
def test_streams_of_the_callers_keep_order_and_bytes(flags: int) -> None:
    first = UserStream(0x4B6B0002, b"the highest number, the first place")
    streams = (first, UserStream(0x10000, b""), UserStream(0x10001, b"\1"))
    data = write(TARGET, flags, comment="c", user_streams=streams)
    assert list(directory(data))[-4:] == [S.CommentStreamW, 0x4B6B0002, 0x10000, 0x10001]
    for given in streams:
        assert stream(data, given.type) == given.data


@pytest.mark.parametrize(
    ("streams", "why"),
    [
        ([UserStream(0xFFFF, b"x")], "0xffff"),
        ([UserStream(S.ThreadListStream, b"x")], "0x3"),
        ([UserStream(1 << 32, b"x")], "0x100000000"),
        ([UserStream(0x10000, b"x"), UserStream(0x10000, b"y")], "given twice"),
    ],
)
def test_streams_that_are_not_the_callers_to_give_are_refused(streams: list[UserStream], why: str) -> None:
    with pytest.raises(DumpRefused, match=why) as caught:
        write(TARGET, user_streams=tuple(streams))
    assert caught.value.hresult == Hresult.E_INVALIDARG


# --- extended state


def contexts_of(data: bytes) -> list[bytes]:
    """Every thread's context, then the exception's."""
    threads = stream(data, S.ThreadListStream)
    places = [
        struct.unpack_from("<II", threads, 4 + 48 * index + 40) for index in range(struct.unpack_from("<I", threads)[0])
    ]
    places.append(struct.unpack_from("<II", stream(data, S.ExceptionStream), 160))
    return [data[rva : rva + size] for size, rva in places]


def test_contexts_with_extended_state_are_all_of_the_size_that_misc_info_says() -> None:
    data = write(TARGET, AVX)
    misc = stream(data, S.MiscInfoStream)
    size, context_size, enabled = struct.unpack_from("<IIQ", misc, 0x340)
    assert (size, enabled) == (528, 7)
    features = [struct.unpack_from("<II", misc, 0x350 + 8 * index) for index in range(64)]
    assert features == [(0, 160), (160, 256), (576, 256)] + [(0, 0)] * 61
    *threads, exception = contexts_of(data)
    assert {len(context) for context in threads} == {context_size} == {1280 + 64 + 256}
    assert len(exception) == 1232, "without extended state, but with its bit"
    assert struct.unpack_from("<I", exception, 0x30)[0] & 0x40
    *_, exception = contexts_of(write(TARGET, AVX, contract=Contract.E15063))
    assert len(exception) == context_size
    assert flags_of(data) & 0x200000


def test_the_chunk_behind_a_context_holds_the_components_that_are_in_use() -> None:
    contexts = contexts_of(write(TARGET, AVX, contract=Contract.E15063))
    expected = [thread.context for thread in TARGET.threads]
    assert TARGET.exception is not None
    expected.append(TARGET.exception.context)
    for data, context in zip(contexts, expected, strict=True):
        assert struct.unpack_from("<I", data, 0x30)[0] == context.context_flags | 0x40
        assert struct.unpack_from("<iIiIiI", data, 1232) == (-1232, 1600, -1232, 1232, 48, 64 + 256)
        chunk = data[1232 + 48 :]
        mask, compaction, *reserved = struct.unpack_from("<8Q", chunk)
        assert (compaction, reserved) == (1 << 63 | 4, [0] * 6)
        assert context.xstate is not None
        held = dict(context.xstate)
        assert mask == (4 if held else 0)
        assert chunk[64:] == held.get(2, bytes(256))
    assert sum(bool(context.xstate) for context in expected) == 3


def test_a_context_without_the_flag_is_plain() -> None:
    data = write(TARGET)
    assert {len(context) for context in contexts_of(data)} == {1232}
    assert stream(data, S.MiscInfoStream)[0x340:0x550] == bytes(528)


def test_without_extended_state_the_flag_leaves_plain_contexts_and_a_warning() -> None:
    target = stream_target(xstate=None)
    data, result = dump_bytes(target, Request(DEBUG_DUMP_SMALL, AVX))
    assert {len(context) for context in contexts_of(data)} == {1232}
    assert stream(data, S.MiscInfoStream)[0x340:0x550] == bytes(528)
    assert flags_of(data) & 0x200000
    assert any("ADD_AVX_XSTATE_CONTEXT" in warning for warning in result.warnings)


def test_components_of_a_compacted_chunk_follow_each_other() -> None:
    """AVX-512 and PKRU have the offsets of CPUID leaf 0Dh on real processors, with a gap for MPX."""
    avx512 = [(1088, 64), (1152, 512), (1664, 1024)]
    features = [(0, 160), (160, 256), (576, 256), (0, 0), (0, 0), *avx512, (0, 0), (2688, 8)]
    configuration = XstateConfiguration(0x2E7, tuple(XstateFeature(*feature) for feature in features))
    target = synthetic_process(threads=1, system=synthetic_system(xstate=configuration))
    state = ((5, b"\5" * 64), (9, b"\11" * 8))
    context = replace(target.threads[0].context, xstate=state)
    data = contexts_of(write(replace(target, threads=(replace(target.threads[0], context=context),)), AVX))[0]
    assert len(data) == 1280 + 2696 - 512
    chunk = data[1280:]
    assert struct.unpack_from("<QQ", chunk) == (1 << 5 | 1 << 9, 1 << 63 | 0x2E4)
    expected = bytearray(2696 - 512 - 64)
    expected[256 : 256 + 64] = b"\5" * 64  # behind AVX
    expected[256 + 64 + 512 + 1024 : 256 + 64 + 512 + 1024 + 8] = b"\11" * 8
    assert chunk[64:] == expected


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (((2, bytes(255)),), "component 2 of 255 bytes, expected 256"),
        (((9, bytes(8)),), "component 9 is not enabled"),
        (((1, bytes(256)),), "component 1 is not enabled"),
    ],
)
def test_state_that_does_not_fit_the_configuration_is_refused(state: tuple[tuple[int, bytes], ...], why: str) -> None:
    target = synthetic_process(system=synthetic_system(xstate=AVX_STATE))
    thread = replace(target.threads[0], context=replace(target.threads[0].context, xstate=state))
    with pytest.raises(LayoutError, match=why):
        write(replace(target, threads=(thread, *target.threads[1:])), AVX)
