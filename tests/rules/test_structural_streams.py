"""Structural rules on small hand-made files of one or two streams: streams that the large hand-made dumps lack, other
architectures, and files with huge counts."""

from __future__ import annotations

from collections.abc import Sequence
from struct import pack

import pytest
from dumptruth.oracle import ByteSource, Outcome, Report, Verdict, check, read_minidump

SYSTEM, EXCEPTION, THREADS, MEMORY64 = 7, 6, 3, 9


def minidump(streams: Sequence[tuple[int, bytes]], tail: bytes = b"", architecture: int = 9) -> bytes:
    """Header, directory, SystemInfo with its string, the streams, ``tail``."""
    count = len(streams) + 1
    at = 32 + 12 * count
    directory, body = b"", b""
    system = pack("<HHHBBIIIIIHH24x", architecture, 6, 1, 1, 1, 10, 0, 19045, 2, at, 0, 0)
    body += pack("<I", 0) + b"\0\0" + b"\0\0"  # an empty string, its NUL, padding to 4
    for number, data in [(SYSTEM, system), *streams]:
        directory += pack("<III", number, len(data), at + len(body))
        body += data
    return pack("<4sIIIIIQ", b"MDMP", 0xA793, count, 32, 0, 0, 0) + directory + body + tail


def place(streams: Sequence[tuple[int, bytes]]) -> int:
    """The file offset after the last stream."""
    return len(minidump(streams))


ABSENT = {"MDMP-DIR-007"}
"""The files of this module lack thread and module lists, so this SHOULD rule fails for all of them."""


def judge(data: bytes) -> tuple[Report, set[str]]:
    report = check(ByteSource(data, "x.dmp"))
    assert not [result for result in report.results if result.verdict is Verdict.ERROR], report.reason
    return report, {result.rule for result in report.results if result.verdict is Verdict.FAIL} - ABSENT


def test_the_smallest_file_is_conformant() -> None:
    report, failed = judge(minidump([]))
    assert failed == set()
    assert report.outcome is Outcome.CONFORMANT


def test_a_file_without_threads_and_modules_is_conformant_and_both_lists_are_reported() -> None:
    (result,) = (item for item in check(ByteSource(minidump([]))).results if item.rule == "MDMP-DIR-007")
    assert [finding.subject for finding in result.findings] == [
        "stream 3 (ThreadListStream)",
        "stream 4 (ModuleListStream)",
    ]
    assert not result.counts


@pytest.mark.parametrize("length", [4, 20, 31])
def test_a_file_cut_in_its_header_fails_that_rule_alone(length: int) -> None:
    report, failed = judge(minidump([])[:length])
    assert failed == {"MDMP-HEADER-001"}
    assert report.outcome is Outcome.NON_CONFORMANT


def test_bytes_that_nothing_refers_to_are_a_finding_and_padding_is_not() -> None:
    assert judge(minidump([], tail=bytes(16)))[1] == set()
    report, failed = judge(minidump([], tail=b"\0leak"))
    assert failed == {"MDMP-LAYOUT-002"}
    assert report.unclaimed == 5
    assert judge(minidump([], tail=bytes(17)))[1] == {"MDMP-LAYOUT-002"}


# Stream 13, at a multiple of 8: one table of one 12-byte entry and an 8-byte native descriptor; of the 8 bytes of
# padding 4 after the entry, 4 spare.
TABLE = pack("<QQQII", 0x1000, 0x2000, 0x1000, 1, 4) + bytes(8) + b"\x11" * 12 + bytes(4)
FUNCTION_TABLES = pack("<6I", 24, 32, 8, 12, 1, 0) + TABLE + bytes(4)
PADDED_HEADER = pack("<6I", 24, 32, 8, 12, 1, 4) + bytes(4) + TABLE
DIRTY_PAD = FUNCTION_TABLES[:-8] + b"\1" + bytes(7)
# Stream 18: one operation. Stream 19: one token of 24 bytes with a header of 16.
OPERATIONS = pack("<IIII", 16, 288, 1, 0) + pack("<QIIII", 4, 1, 1, 2, 0) + bytes(264)
TOKENS = pack("<IIII", 40, 1, 16, 16) + pack("<IIQ", 24, 0x1234, 0) + bytes(8)


@pytest.mark.parametrize(
    ("number", "good", "bad", "rule"),
    [
        (13, FUNCTION_TABLES, pack("<I", 20) + FUNCTION_TABLES[4:], "MDMP-FUNCTIONTABLE-001"),
        (13, FUNCTION_TABLES, FUNCTION_TABLES + bytes(8), "MDMP-FUNCTIONTABLE-003"),
        (13, FUNCTION_TABLES, FUNCTION_TABLES[:-4] + b"\1\0\0\0", "MDMP-FUNCTIONTABLE-001"),
        (13, FUNCTION_TABLES, FUNCTION_TABLES[:-8], "MDMP-FUNCTIONTABLE-001"),
        (13, FUNCTION_TABLES, PADDED_HEADER, "MDMP-FUNCTIONTABLE-002"),
        (13, FUNCTION_TABLES, DIRTY_PAD, "MDMP-FUNCTIONTABLE-002"),
        (13, FUNCTION_TABLES, FUNCTION_TABLES[:-4], "MDMP-FUNCTIONTABLE-003"),
        (13, FUNCTION_TABLES, FUNCTION_TABLES[:16] + b"\xff" * 4 + FUNCTION_TABLES[20:], "MDMP-FUNCTIONTABLE-001"),
        (18, OPERATIONS, OPERATIONS[:-8], "MDMP-HANDLEOPERATION-001"),
        (18, OPERATIONS, pack("<IIII", 16, 280, 1, 0) + OPERATIONS[16:], "MDMP-HANDLEOPERATION-001"),
        (18, OPERATIONS, OPERATIONS[:32] + pack("<II", 0, 0) + OPERATIONS[40:], "MDMP-HANDLEOPERATION-002"),
        (18, OPERATIONS, OPERATIONS[:40] + pack("<I", 33) + OPERATIONS[44:], "MDMP-HANDLEOPERATION-002"),
        (19, TOKENS, pack("<I", 36) + TOKENS[4:], "MDMP-TOKEN-001"),
        (19, TOKENS, TOKENS[:16] + pack("<I", 16) + TOKENS[20:], "MDMP-TOKEN-001"),
        (19, TOKENS, TOKENS[:16] + pack("<I", 0) + TOKENS[20:], "MDMP-TOKEN-001"),
        (19, TOKENS, TOKENS[:4] + pack("<I", 9) + TOKENS[8:], "MDMP-TOKEN-001"),
        (10, b"text\0", b"text", "MDMP-COMMENT-001"),
        (11, b"t\0\0\0", b"t\0\0", "MDMP-COMMENT-001"),
        (22, pack("<HxxI9Q", 1, *range(10)), pack("<HxxI9Q", 2, *range(10)), "MDMP-VMCOUNTERS-001"),
        (22, pack("<HxxI9Q", 1, *range(10)), bytes(84), "MDMP-VMCOUNTERS-001"),
        (15, pack("<6I", 24, 3, 1, 0, 0, 0), pack("<6I", 24, 7, 1, 0, 0, 0), "MDMP-MISC-003"),
    ],
)  # fmt: skip
def test_a_stream_is_judged_by_its_own_layout(number: int, good: bytes, bad: bytes, rule: str) -> None:
    beside = {"XCUT-FLAGS-001"} if number == 19 else set()  # Flags is 0 here
    assert judge(minidump([(number, good)]))[1] == beside
    assert judge(minidump([(number, bad)]))[1] == {rule} | beside


def thread_list(context: bytes, at: int) -> bytes:
    return pack("<IIIIIQQIIII", 1, 7, 0, 0, 0, 0, 0, 0, 0, len(context), at)


@pytest.mark.parametrize(
    ("architecture", "size", "flags_at", "flags"),
    [(0, 716, 0, 0x1003F), (9, 1232, 0x30, 0x10001F), (5, 416, 0, 0x20000F), (12, 912, 0, 0x40001F)],
)
def test_each_architecture_has_its_own_context(architecture: int, size: int, flags_at: int, flags: int) -> None:
    context = bytearray(size)
    context[-1] = 1  # a context of zeros has no machine
    for wrong, expected in ((0, set()), (flags, {"MDMP-THREAD-005"})):
        context[flags_at : flags_at + 4] = pack("<I", flags ^ wrong)
        at = place([(THREADS, thread_list(bytes(context), 0))])
        data = minidump([(THREADS, thread_list(bytes(context), at))], bytes(context), architecture)
        assert judge(data)[1] == expected
    short = thread_list(bytes(size - 4), at)
    assert judge(minidump([(THREADS, short)], bytes(context), architecture))[1] == {"MDMP-THREAD-004"}


def test_registers_are_read_at_the_offsets_of_winnt_h() -> None:
    """winnt.h CONTEXT: Eip 0xB8 and Esp 0xC4, Rip 0xF8 and Rsp 0x98, Pc 0x40 and Sp 0x38, Pc 0x108 and Sp 0x100."""
    for architecture, size, ip, sp, width in (
        (0, 716, 0xB8, 0xC4, 4),
        (9, 1232, 0xF8, 0x98, 8),
        (5, 416, 0x40, 0x38, 4),
        (12, 912, 0x108, 0x100, 8),
    ):
        context = bytearray(size)
        context[ip : ip + width] = (0x1111).to_bytes(width, "little")
        context[sp : sp + width] = (0x2222).to_bytes(width, "little")
        at = place([(THREADS, thread_list(bytes(size), 0))])
        data = minidump([(THREADS, thread_list(bytes(size), at))], bytes(context), architecture)
        dump = read_minidump(ByteSource(data))
        fact = dump.threads[0].context
        assert fact is not None
        assert (fact.ip, fact.sp) == (0x1111, 0x2222)


def test_an_unknown_architecture_leaves_contexts_unjudged() -> None:
    at = place([(THREADS, thread_list(bytes(8), 0))])
    report, failed = judge(minidump([(THREADS, thread_list(bytes(8), at))], bytes(8), 0x8004))
    assert failed == set()
    verdicts = {result.rule: result.verdict for result in report.results}
    assert verdicts["MDMP-THREAD-005"] is Verdict.NOT_APPLICABLE


def test_a_sign_extended_parameter_of_a_32_bit_target_is_a_finding() -> None:
    def exception(value: int, at: int) -> bytes:
        return pack("<IIIIQQII15QII", 1, 0, 0xC0000005, 0, 0, 0, 2, 0, 0, value, *[0] * 13, 716, at)

    context = pack("<I", 0x1003F) + bytes(712)
    at = place([(EXCEPTION, exception(0, 0))])
    for value, expected in ((0xFFFFFFF0, set()), (0xFFFFFFFFFFFFFFF0, {"MDMP-EXCEPTION-006"})):
        assert judge(minidump([(EXCEPTION, exception(value, at))], context, 0))[1] == expected


def test_memory_of_the_64_bit_list_comes_last() -> None:
    memory = bytes(range(64))

    def listing(base: int) -> list[tuple[int, bytes]]:
        return [(MEMORY64, pack("<QQQQ", 1, base, 0x1000, 64))]

    base = place(listing(0))
    assert judge(minidump(listing(base), memory))[1] == {"XCUT-FLAGS-001"}
    assert judge(minidump(listing(base + 24), bytes(24) + memory))[1] == {
        "XCUT-FLAGS-001",
        "MDMP-LAYOUT-002",
    }
    # Memory at the first bytes of the directory: it overlaps, and nearly all structures lie after it.
    assert judge(minidump(listing(32), memory))[1] >= {"MDMP-LAYOUT-001", "MDMP-MEMORY64-003", "MDMP-LAYOUT-002"}


def test_a_file_that_names_more_than_the_budget_is_not_called_conformant() -> None:
    """Names that overlap in one run of 64 KiB would take 256 MiB of characters."""
    count = 8000
    names = pack("<I", 0x8000) * 0x4000 + bytes(2)
    at = place([(24, bytes(4 + 12 * count))])
    entries = b"".join(pack("<IQ", index + 1, at + 4 * (index % 0x100)) for index in range(count))
    report, _ = judge(minidump([(24, pack("<I", count) + entries)], names))
    assert [item.subject for item in report.unjudged] == ["bytes of strings"]
    assert report.outcome is not Outcome.CONFORMANT


def test_object_informations_that_form_a_loop_end() -> None:
    handles = [(12, pack("<IIII", 16, 40, 1, 0) + bytes(40))]
    at = place(handles)
    handles = [(12, pack("<IIII", 16, 40, 1, 0) + pack("<QIIIIIIII", 4, 0, 0, 0, 0, 0, 0, at, 0))]
    assert judge(minidump(handles, pack("<III", 0, 6, 4) + bytes(4)))[1] == {"XCUT-FLAGS-001"}
    assert judge(minidump(handles, pack("<III", at, 6, 4) + bytes(4)))[1] == {"MDMP-HANDLE-004", "XCUT-FLAGS-001"}


def test_memory_is_found_by_address_across_touching_and_overlapping_ranges() -> None:
    ranges = ((0x3000, b"cc"), (0x1000, b"abcdef"), (0x1004, b"efgh"), (0x1008, b"ij"))
    listing = bytes(4 + 16 * len(ranges))
    at = place([(5, listing)])
    listing, tail = pack("<I", len(ranges)), b""
    for start, data in ranges:
        listing += pack("<QII", start, len(data), at + len(tail))
        tail += data
    dump = read_minidump(ByteSource(minidump([(5, listing)], tail)))
    assert dump.read_memory(0x1000, 10) == b"abcdefghij"
    assert dump.read_memory(0x1005, 4) == b"fghi"
    assert dump.read_memory(0x1000, 11) is None
    assert dump.read_memory(0xFFF, 2) is None
    assert dump.captured() == [(0x1000, 0x100A), (0x3000, 0x3002)]
    assert dump.covered(0x3000, 0x3002)
    assert not dump.covered(0x2FFF, 0x3001)
