"""Hand-made function tables, handle operations, tokens, user streams, ANSI comment and extended contexts: each rule
about them passes, and fails on one changed field."""

from __future__ import annotations

import copy
from collections.abc import Callable
from struct import pack
from typing import Any

import pytest
from dumptruth.oracle import ByteSource, Report, Verdict, check
from dumptruth.oracle.truth.load import parse_truth

from .hand_minidump import HandMade, Layout, More, dump, request
from .hand_target import MEMORY, TRUTH, memory

SID_USER = bytes([1, 2, 0, 0, 0, 0, 0, 5]) + pack("<II", 21, 1001)
SID_GROUP = bytes([1, 1, 0, 0, 0, 0, 0, 5]) + pack("<I", 32)
STATISTICS = bytes(range(56))
NATIVE = bytes(range(100, 116))
AVX_OFFSET, AVX, PKRU_OFFSET, PKRU = 576, 256, 832, 8
YMM = [bytes([seed]) * AVX for seed in (0x41, 0x42)]
KEYS = b"\x55\x55\x55\x55\0\0\0\0"
CONTEXT_SIZE = 1232 + 40 + 328
TABLE_BASE = 0x20000


def extension(offset: int, header: bytes, components: bytes) -> bytes:
    """CONTEXT_EX, alignment up to ``offset``, XSAVE header and components, slack."""
    length = 64 + len(components)
    ex = pack("<iIiIiI", -1232, 1232 + offset + length, -1232, 1232, offset, length)
    return (ex + bytes(offset - 24) + header + components).ljust(CONTEXT_SIZE - 1232, b"\0")


def xsave(mask: int, compaction: int = 0) -> bytes:
    return pack("<QQ", mask, compaction) + bytes(48)


# Standard format: in the chunk AVX is at 576 - 512 and PKRU at 832 - 512. Compacted: PKRU follows AVX too.
TAILS = (
    extension(40, xsave(4), YMM[0] + bytes(PKRU)),
    extension(24, xsave(0x204, 1 << 63 | 0x204), YMM[1] + KEYS),
    extension(32, xsave(0), bytes(AVX + PKRU)),
)
FEATURES = [(0, 160), (160, 256), (AVX_OFFSET, AVX), *[(0, 0)] * 6, (PKRU_OFFSET, PKRU)]
XSTATE_DATA = pack("<IIQ", 528, CONTEXT_SIZE, 0x207) + b"".join(pack("<II", *row) for row in FEATURES)
XSTATE_DATA += bytes(528 - len(XSTATE_DATA))


def operation(handle: int, kind: int, index: int, *addresses: int) -> bytes:
    head = pack("<QIIIIII", handle, 0x1234, 0x1238, kind, 0, len(addresses), index)
    return (head + pack(f"<{len(addresses)}Q", *addresses)).ljust(288, b"\0")


def token_stream() -> bytes:
    """One token as in the real sample: parts aligned to 8 after seven pairs, references into the parts."""
    user = pack("<QII", 16, 0, 0) + SID_USER
    groups = pack("<IIQII", 1, 0, 24, 7, 0) + SID_GROUP
    privileges = pack("<IQI", 1, 0x17, 3)
    parts = [pack("<I", 1), user, groups, b"", privileges, STATISTICS, b""]
    pairs, blobs = b"", b""
    for part in parts:
        pairs += pack("<II", 72 + len(blobs) if part else 0, len(part))
        blobs += part.ljust(-(-len(part) // 8) * 8, b"\0")
    element = pack("<IIQ", 72 + len(blobs), 0x1234, 0xFFFFFFFF) + pairs + blobs
    return pack("<IIII", 16 + len(element), 1, 16, 72) + element


def handles(layout: Any) -> bytes:
    """Two unnamed handles. Their type name is the first string of the file, the service pack string."""
    rows = (pack("<Q8I", value, layout.at["csd"], 0, 2, 0x1F0003, 1, 3, 0, 0) for value in (4, 8))
    return pack("<IIII", 16, 40, 2, 0) + b"".join(rows)


@pytest.fixture(scope="session")
def extended() -> Any:
    """DEBUG_DUMP_SMALL with HANDLE_DATA and ADD_AVX_XSTATE_CONTEXT of a target with data for every stream."""
    codes = memory(TABLE_BASE, TABLE_BASE + 0x1000)
    unwind = [at for at in range(0x100, 0xE00, 4) if codes[at + 2] in (1, 2, 3)][:9:4]
    assert len(unwind) == 3
    entries = [(16 * index, 16 * index + 16, at) for index, at in enumerate(unwind)]
    assert all(codes[at] >> 3 & 4 for at in unwind), "chained: an even number of codes, and 12 bytes more"
    ranges = tuple(
        (TABLE_BASE + at, TABLE_BASE + at + 4 + 2 * (codes[at + 2] + codes[at + 2] % 2) + 12) for at in unwind
    )
    tables = ((entries[:1], 4), (entries[1:], 0))
    listed = pack("<6I", 24, 32, 16, 12, 2, 4) + bytes(4)
    for index, (rows, pad) in enumerate(tables):
        listed += pack("<QQQII", 0x20000, 0x20100 + index, TABLE_BASE, len(rows), pad) + NATIVE
        listed += b"".join(pack("<III", *row) for row in rows) + bytes(pad)
    listed += bytes(8)
    streams: dict[int, bytes | Callable[[Layout], bytes]] = {
        12: handles,
        13: listed,
        18: pack("<IIII", 16, 288, 2, 0) + operation(4, 1, 0, 0x401000, 0x401010) + operation(8, 2, 1),
        19: token_stream(),
        10: b"gr\xfc\x80\0",
        0x10000: b"abc",
        0x4D7A0001: b"",
    }
    truth = copy.deepcopy(TRUTH)
    truth["system"]["xstate"] = {
        "enabled_features": "0x207",
        "features": [{"offset": offset, "size": size} for offset, size in FEATURES],
    }
    states = ({"2": YMM[0].hex()}, {"2": YMM[1].hex(), "9": KEYS.hex()})
    for thread, state in zip(truth["threads"], states, strict=True):
        thread["context"]["xstate"] = state
    for context in (*(thread["context"] for thread in truth["threads"]), truth["exception"]["context"]):
        context["context_flags"] |= 0x40
    truth["exception"]["context"]["xstate"] = {}
    for handle in truth["handles"]:
        handle["type_name"], handle["object_name"] = "SP 1", None
    truth["function_tables"] = [
        {
            "minimum_address": "0x20000",
            "maximum_address": hex(0x20100 + index),
            "base_address": hex(TABLE_BASE),
            "native": NATIVE.hex(),
            "entries": [{"begin_address": low, "end_address": high, "unwind_data": at} for low, high, at in rows],
        }
        for index, (rows, _) in enumerate(tables)
    ]
    operations: tuple[tuple[int, int, int, list[str]], ...]
    operations = ((4, 1, 0, ["0x401000", "0x401010"]), (8, 2, 1, []))
    truth["handle_operations"] = [
        {
            "handle": hex(handle),
            "process_id": 0x1234,
            "thread_id": 0x1238,
            "operation_type": kind,
            "index": index,
            "return_addresses": addresses,
        }
        for handle, kind, index, addresses in operations
    ]
    truth["tokens"] = [
        {
            "token_id": 0x1234,
            "handle": "0xffffffff",
            "token_type": 1,
            "user": {"sid": SID_USER.hex(), "attributes": 0},
            "groups": [{"sid": SID_GROUP.hex(), "attributes": 7}],
            "privileges": [{"luid": "0x17", "attributes": 3}],
            "statistics": STATISTICS.hex(),
        }
    ]
    more = More(ranges=ranges, tails=TAILS, xstate=XSTATE_DATA, streams=streams, align={13: 4})
    layout = dump(truth, 0x200004 | 0x40000, None, more)
    truth["threads"][0]["context"]["context_flags"] &= ~0x40  # the record may have the bit
    given = ({"type": 0x10000, "data": b"abc".hex()}, {"type": 0x4D7A0001, "data": ""})
    asked = request(1024, 0x20002, "gr\N{LATIN SMALL LETTER U WITH DIAERESIS}\N{EURO SIGN}", given)
    return HandMade(bytes(layout.data), layout.at, parse_truth(truth, MEMORY), asked)


def judge(made: Any, data: bytes | None = None, *, own: bool = True) -> Report:
    source = ByteSource(made.data if data is None else data)
    return check(source, made.truth if own else None, made.request if own else None, strict=True)


def failing(report: Report) -> set[str]:
    assert not [result for result in report.results if result.verdict is Verdict.ERROR], report.reason
    return {result.rule for result in report.results if result.verdict is Verdict.FAIL}


@pytest.mark.parametrize("own", [True, False])
def test_the_dump_made_by_hand_is_conformant(extended: Any, own: bool) -> None:
    report = judge(extended, own=own)
    assert [(result.rule, result.findings) for result in report.results if result.verdict is Verdict.FAIL] == []
    assert report.unclaimed == 0


def test_every_rule_about_it_makes_checks(extended: Any) -> None:
    made = {result.rule for result in judge(extended).results if result.checks}
    assert made >= {
        *(f"MDMP-FUNCTIONTABLE-00{number}" for number in (1, 2, 3)), "MDMP-HANDLEOPERATION-001",
        "MDMP-HANDLEOPERATION-002", "MDMP-MISC-004", "MDMP-TOKEN-001", "MDMP-TOKEN-002",
        *(f"MDMP-XSTATE-00{number}" for number in (1, 2, 3)), "XCUT-XSTATE-001",
        *(f"TRUE-XSTATE-00{number}" for number in (1, 2, 3, 4)), *(f"TRUE-TOKEN-00{number}" for number in (1, 2, 3)),
        "TRUE-FUNCTIONTABLE-001", "TRUE-FUNCTIONTABLE-002", "TRUE-HANDLEOPERATION-001", "TRUE-HANDLEOPERATION-002",
        "TRUE-USERSTREAM-001", "TRUE-USERSTREAM-002", "TRUE-STREAM-004", "TRUE-COMMENT-001", "PAGE-REQUIRED-006",
    }  # fmt: skip


EX, CHUNK = 1232, 1232 + 40  # of context 0
COMPACT = 1232 + 24  # the chunk of context 1
TABLE, SECOND = 28, 28 + 32 + 16 + 12 + 4
TOKEN = 16
FOUR = b"\x77" * 4
# piece, offset in it, bytes put there, rules that must fail
MUTANTS: list[tuple[str, int, bytes, set[str]]] = [
    ("stream 13", 8, pack("<I", 4), {"MDMP-FUNCTIONTABLE-001"}),
    ("stream 13", 12, pack("<I", 6), {"MDMP-FUNCTIONTABLE-001"}),
    ("stream 13", 24, b"\1", {"MDMP-FUNCTIONTABLE-002"}),
    *(("stream 13", TABLE + at, FOUR, {"TRUE-FUNCTIONTABLE-001"}) for at in (0, 8, 16)),
    ("stream 13", TABLE + 32, b"\0", {"TRUE-FUNCTIONTABLE-002"}),
    ("stream 13", TABLE + 48, b"\1", {"TRUE-FUNCTIONTABLE-002"}),
    ("stream 13", SECOND + 48 + 12 + 8, b"\1", {"TRUE-FUNCTIONTABLE-002"}),
    ("stream 13", SECOND + 48 + 24 + 7, b"\1", {"MDMP-FUNCTIONTABLE-001"}),
    *(("stream 18", 16 + at, FOUR, {"TRUE-HANDLEOPERATION-001"}) for at in (0, 8, 12, 0x1C, 0x20)),
    ("stream 18", 16 + 0x10, b"\2", {"TRUE-HANDLEOPERATION-001"}),
    ("stream 18", 16 + 0x10, b"\4", {"TRUE-HANDLEOPERATION-001", "MDMP-HANDLEOPERATION-002"}),
    ("stream 18", 16 + 0x18, b"\1", {"TRUE-HANDLEOPERATION-001", "TRUE-HANDLEOPERATION-002"}),
    *(("stream 18", at, b"\1", {"TRUE-HANDLEOPERATION-002"}) for at in (12, 16 + 0x14, 16 + 0x30, 16 + 287)),
    ("stream 19", 12, pack("<I", 16), {"TRUE-TOKEN-001"}),
    ("stream 19", TOKEN + 4, FOUR, {"TRUE-TOKEN-001"}),
    ("stream 19", TOKEN + 8, FOUR, {"TRUE-TOKEN-001"}),
    ("stream 19", TOKEN + 16, b"\1", {"MDMP-TOKEN-002", "TRUE-TOKEN-002", "TRUE-TOKEN-003"}),
    *(("stream 19", TOKEN + at, b"\2", {"TRUE-TOKEN-002"}) for at in (72, 80, 88, 96, 96 + 8)),
    ("stream 19", TOKEN + 40, pack("<II", 336, 8), {"MDMP-TOKEN-002", "TRUE-TOKEN-003"}),
    ("stream 19", TOKEN + 76, b"\1", {"TRUE-TOKEN-003"}),
    ("stream 19", TOKEN + 92, b"\1", {"TRUE-TOKEN-002"}),
    ("stream 10", 2, b"\xfd", {"TRUE-COMMENT-001"}),
    ("stream 65536", 1, b"B", {"TRUE-USERSTREAM-001"}),
    ("context 0", EX, FOUR, {"MDMP-XSTATE-001"}),
    ("context 0", EX + 4, FOUR, {"MDMP-XSTATE-001"}),
    ("context 0", EX + 12, FOUR, {"MDMP-XSTATE-001"}),
    ("context 0", EX + 16, pack("<iI", -8, 392), {"MDMP-XSTATE-001", "TRUE-XSTATE-001"}),
    ("context 0", EX + 24, b"\1", {"TRUE-XSTATE-004"}),
    ("context 0", CHUNK, b"\0", {"TRUE-XSTATE-002", "TRUE-XSTATE-004"}),
    ("context 0", CHUNK + 1, b"\2", set()),
    ("context 0", CHUNK, b"\x0c", {"MDMP-XSTATE-003", "TRUE-XSTATE-002"}),
    ("context 0", CHUNK + 8, b"\1", {"MDMP-XSTATE-002"}),
    ("context 0", CHUNK + 16, b"\1", {"MDMP-XSTATE-002"}),
    ("context 0", CHUNK + 64 + 255, b"\1", {"TRUE-XSTATE-002"}),
    ("context 0", CHUNK + 64 + 256, b"\1", {"TRUE-XSTATE-004"}),
    ("context 1", COMPACT + 8, b"\0", {"MDMP-XSTATE-002", "MDMP-XSTATE-003", "TRUE-XSTATE-002", "TRUE-XSTATE-004"}),
    ("context 1", COMPACT + 8 + 3, b"\1", {"TRUE-XSTATE-002"}),
    ("context 1", COMPACT + 64 + 256, b"\1", {"TRUE-XSTATE-002"}),
    ("context 1", 1600 - 1, b"\1", {"TRUE-XSTATE-004"}),
    ("exception context", 1232 + 32 + 64, b"\1", {"TRUE-XSTATE-004"}),
    ("context 0", 0x30, b"\x1f", set()),
    ("stream 15", 0x340, FOUR, {"MDMP-MISC-004", "TRUE-XSTATE-003"}),
    ("stream 15", 0x344, FOUR, {"XCUT-XSTATE-001"}),
    ("stream 15", 0x348, b"\x03", {"TRUE-XSTATE-003"}),
    ("stream 15", 0x348, b"\x0f", {"MDMP-MISC-004", "TRUE-XSTATE-003"}),
    ("stream 15", 0x34F, b"\x80", set()),
    ("stream 15", 0x350 + 16, pack("<II", 832, 256), {"MDMP-XSTATE-003", "TRUE-XSTATE-003"}),
    ("stream 15", 0x350 + 8 * 63, b"\1", {"TRUE-XSTATE-003"}),
    ("directory", 12 * 9, bytes(12), {"TRUE-STREAM-004", "MDMP-LAYOUT-002", "PAGE-FORBIDDEN-001"}),
]


@pytest.mark.parametrize(
    "mutant", MUTANTS, ids=[f"{piece}+{at:#x}-{min(rules, default='none')}" for piece, at, _, rules in MUTANTS]
)
def test_one_changed_field_fails_its_rule(mutant: tuple[str, int, bytes, set[str]], extended: Any) -> None:
    piece, offset, data, rules = mutant
    at = extended.at[piece] + offset
    changed = extended.data[:at] + data + extended.data[at + len(data) :]
    assert changed != extended.data
    assert failing(judge(extended, changed)) == rules


def test_user_streams_in_another_order_fail_the_rule_about_their_order(extended: Any) -> None:
    entry = extended.at["directory"] + 12 * 13
    one, other = extended.data[entry : entry + 12], extended.data[entry + 12 : entry + 24]
    swapped = extended.data[:entry] + other + one + extended.data[entry + 24 :]
    assert failing(judge(extended, swapped)) == {"TRUE-USERSTREAM-002"}


def test_references_of_a_token_may_count_from_the_element(extended: Any) -> None:
    at = extended.at["stream 19"] + TOKEN + 80
    data = extended.data[:at] + pack("<Q", 80 + 16) + extended.data[at + 8 :]
    assert failing(judge(extended, data)) == set()


@pytest.mark.slow
def test_no_flipped_byte_goes_unseen(extended: Any) -> None:
    data, unseen = bytearray(extended.data), []
    for at in range(0, len(data), 7):
        data[at] ^= 0xFF
        if judge(extended, bytes(data)).outcome == "CONFORMANT":
            unseen.append(at)
        data[at] ^= 0xFF
    # Version, high word; and the x87 and SSE bits of Mask, whose state is in the record itself.
    assert [at for at in unseen if at not in {6, 7}] == []
