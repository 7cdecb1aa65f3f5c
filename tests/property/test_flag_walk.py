"""Writer and judge agree to the byte on every flag of user minidumps, every pair of flags, and random combinations, on
targets that have data for every flag.

A sample of pairs and random combinations always runs; all of them with ``-m slow``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from itertools import combinations
from pathlib import Path

import pytest
from dumptruth.emu.constants import FormatFlag, Hresult, Qualifier
from dumptruth.emu.debugger.client import DebugClient
from dumptruth.emu.plan.flags import FLAG_ROWS
from dumptruth.emu.request import Contract, Request, Session, UserStream
from dumptruth.emu.scenarios.process import run_scenario
from dumptruth.emu.snapshot.process import ProcessSnapshot
from dumptruth.emu.synthetic.flag_process import flag_target
from dumptruth.emu.synthetic.stream_process import stream_target
from dumptruth.fixtures.adapters.agreement import Agreed, BothRefuse, StoppedProcess, agree
from dumptruth.fixtures.replay.judging import judge, requested
from dumptruth.fixtures.replay.replayer import replay_dump
from dumptruth.oracle import ByteSource, Outcome, check
from hypothesis import given, settings
from hypothesis import strategies as st

SMALL = Qualifier.DEBUG_DUMP_SMALL
F = FormatFlag
FLAGS = tuple(row.flag for row in FLAG_ROWS)
PAIRS = tuple(combinations(FLAGS, 2))
FULL, NO_OPTIONAL = F.DEBUG_FORMAT_USER_SMALL_FULL_MEMORY, F.DEBUG_FORMAT_USER_SMALL_NO_OPTIONAL_DATA
IGNORE = F.DEBUG_FORMAT_USER_SMALL_IGNORE_INACCESSIBLE_MEM
NO_IGNORE = F.DEBUG_FORMAT_USER_SMALL_NO_IGNORE_INACCESSIBLE_MEM
SCAN = F.DEBUG_FORMAT_USER_SMALL_SCAN_PARTIAL_PAGES
PRIVATE = F.DEBUG_FORMAT_USER_SMALL_PRIVATE_READ_WRITE_MEMORY
TRIAGE, AVX = F.DEBUG_FORMAT_USER_SMALL_FILTER_TRIAGE, F.DEBUG_FORMAT_USER_SMALL_ADD_AVX_XSTATE_CONTEXT
EXCLUSIVE = {(TRIAGE, AVX), (NO_IGNORE, IGNORE)}
"""docs/format/format-flags.md#combinations-that-are-refused"""
PREFIX = "DEBUG_FORMAT_USER_SMALL_"


def everything(*, unreadable: bool) -> ProcessSnapshot:
    """The process with data for every flag, plus the tokens of the process with data for every stream."""
    return replace(flag_target(unreadable=unreadable), tokens=stream_target().tokens)


SNAPSHOTS: dict[str, Callable[[], ProcessSnapshot]] = {
    "amd64": lambda: everything(unreadable=False),
    "amd64-torn": lambda: everything(unreadable=True),
    "x86": lambda: flag_target("x86", unreadable=False),
    "x86-torn": lambda: flag_target("x86"),
    "arm64": lambda: flag_target("arm64", unreadable=False),
    "arm64-torn": lambda: flag_target("arm64"),
    "streams": stream_target,
    "every-stream": lambda: run_scenario("every-stream"),
}
"""``torn``: some pages cannot be read though their protection allows it. ``every-stream`` is an emulated process."""


@cache
def target(name: str) -> StoppedProcess:
    return StoppedProcess.of(SNAPSHOTS[name]())


def bits(flags: Iterable[int]) -> int:
    return sum(set(flags))


def named(flags: Iterable[FormatFlag]) -> str:
    return "+".join((flag.name or "").removeprefix(PREFIX) for flag in flags)


def written(name: str, flags: int) -> Agreed:
    found = agree(target(name), Request(SMALL, flags))
    assert isinstance(found, Agreed), found
    return found


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_writer_and_judge_agree_on_each_flag_alone(name: str) -> None:
    """No flag alone refuses a hole: FULL_MEMORY adds IGNORE (docs/format/format-flags.md#order-of-cancelling)."""
    refused = {flag for flag in FLAGS if isinstance(agree(target(name), Request(SMALL, flag)), BothRefuse)}
    assert refused == set()


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_writer_and_judge_agree_without_flags_and_on_the_default_dump(name: str) -> None:
    assert isinstance(agree(target(name), Request(SMALL)), Agreed)
    assert isinstance(agree(target(name), Request(Qualifier.DEBUG_DUMP_DEFAULT)), Agreed)


def test_writer_and_judge_agree_on_every_pair_of_flags() -> None:
    """Each pair on the first target, one pair in nine on another."""
    others = [name for name in SNAPSHOTS if name not in ("amd64", "every-stream")]
    assert len(PAIRS) == 231
    for index, pair in enumerate(PAIRS):
        found = agree(target("amd64"), Request(SMALL, bits(pair)))
        assert isinstance(found, BothRefuse if pair in EXCLUSIVE else Agreed), named(pair)
        if index % 9 == 0:
            agree(target(others[index // 9 % len(others)]), Request(SMALL, bits(pair)))


@pytest.mark.slow
@pytest.mark.parametrize("name", SNAPSHOTS)
def test_writer_and_judge_agree_on_every_pair_of_flags_and_every_target(name: str) -> None:
    refused = {pair for pair in PAIRS if isinstance(agree(target(name), Request(SMALL, bits(pair))), BothRefuse)}
    # A hole refuses full memory only with NO_IGNORE.
    assert refused == (EXCLUSIVE | {(FULL, NO_IGNORE)} if "torn" in name else EXCLUSIVE)


COMBINATIONS = st.tuples(
    st.sampled_from(sorted(set(SNAPSHOTS) - {"every-stream"})),
    st.builds(
        Request,
        st.just(int(SMALL)),
        st.sets(st.sampled_from(FLAGS)).map(bits),
        st.none() | st.text(st.characters(exclude_characters="\0"), max_size=20) | st.just("Größe".encode("cp1252")),
        user_streams=st.dictionaries(st.integers(0x10000, 0xFFFFFFFF), st.binary(max_size=9), max_size=2).map(
            lambda found: tuple(UserStream(kind, data) for kind, data in found.items())
        ),
        contract=st.sampled_from(Contract),
        session=st.sampled_from(Session),
    ),
)
"""Of every contract, live and of a dump."""


def agree_on(drawn: tuple[str, Request]) -> None:
    agree(target(drawn[0]), drawn[1])


@settings(max_examples=80, derandomize=True, database=None)
@given(COMBINATIONS)
def test_writer_and_judge_agree_on_random_flags(drawn: tuple[str, Request]) -> None:
    agree_on(drawn)


@pytest.mark.slow
@settings(max_examples=2000, derandomize=True, database=None)
@given(COMBINATIONS)
def test_writer_and_judge_agree_on_two_thousand_random_combinations(drawn: tuple[str, Request]) -> None:
    agree_on(drawn)


@pytest.mark.parametrize("flag", [FULL, F.DEBUG_FORMAT_USER_SMALL_FILTER_MEMORY], ids=named)
def test_a_full_dump_replays_also_if_a_filter_is_asked(flag: FormatFlag) -> None:
    for name in ("amd64", "streams"):
        assert isinstance(agree(target(name), Request(SMALL, FULL | flag), replay=replay_dump), Agreed)


_MEMORY = "the memory"
_STREAMS = "the streams"
_BYTES = "the bytes alone"
_HEADER = "the header alone"
CHANGES: dict[FormatFlag, tuple[str, int, str]] = {
    # flag -> target, the flags beside it, what it changes
    FULL: ("amd64", 0, _STREAMS),
    F.DEBUG_FORMAT_USER_SMALL_HANDLE_DATA: ("amd64", 0, _STREAMS),
    F.DEBUG_FORMAT_USER_SMALL_UNLOADED_MODULES: ("amd64", 0, _STREAMS),
    F.DEBUG_FORMAT_USER_SMALL_INDIRECT_MEMORY: ("amd64", 0, _MEMORY),
    F.DEBUG_FORMAT_USER_SMALL_DATA_SEGMENTS: ("amd64", 0, _MEMORY),
    F.DEBUG_FORMAT_USER_SMALL_FILTER_MEMORY: ("amd64", 0, _HEADER),
    F.DEBUG_FORMAT_USER_SMALL_FILTER_PATHS: ("amd64", 0, _BYTES),
    F.DEBUG_FORMAT_USER_SMALL_PROCESS_THREAD_DATA: ("amd64", 0, _MEMORY),
    PRIVATE: ("amd64", 0, _MEMORY),
    NO_OPTIONAL: ("amd64", PRIVATE, _MEMORY),
    F.DEBUG_FORMAT_USER_SMALL_FULL_MEMORY_INFO: ("amd64", 0, _STREAMS),
    F.DEBUG_FORMAT_USER_SMALL_THREAD_INFO: ("amd64", 0, _STREAMS),
    F.DEBUG_FORMAT_USER_SMALL_CODE_SEGMENTS: ("amd64", 0, _MEMORY),
    F.DEBUG_FORMAT_USER_SMALL_NO_AUXILIARY_STATE: (
        "amd64",
        0,
        _HEADER,
    ),  # about memory of auxiliary providers, and there are none
    F.DEBUG_FORMAT_USER_SMALL_FULL_AUXILIARY_STATE: ("amd64", 0, _HEADER),
    F.DEBUG_FORMAT_USER_SMALL_MODULE_HEADERS: ("amd64", 0, _MEMORY),
    TRIAGE: ("amd64", 0, _STREAMS),  # no tokens
    AVX: ("streams", 0, _BYTES),
    F.DEBUG_FORMAT_USER_SMALL_IPT_TRACE: ("amd64", 0, _HEADER),  # nothing is traced
    IGNORE: ("amd64-torn", PRIVATE, _HEADER),  # FULL_MEMORY alone asks about holes, and adds the flag itself
    NO_IGNORE: ("amd64-torn", PRIVATE, _HEADER),
    SCAN: ("amd64-torn", FULL, _MEMORY),  # the readable head of a region with a hole
}
ALSO_IN_THE_HEADER = {FULL: 0x20000, NO_OPTIONAL: 0x200, TRIAGE: 0x40080}
"""Bits that change beside the flag's own (docs/format/format-flags.md#order-of-cancelling)."""


def streams(data: bytes) -> list[int]:
    count, rva = struct.unpack_from("<II", data, 8)
    return [struct.unpack_from("<I", data, rva + 12 * index)[0] for index in range(count)]


def without_flags(data: bytes) -> bytes:
    return data[:0x18] + bytes(8) + data[0x20:]


@pytest.mark.parametrize("flag", CHANGES, ids=lambda flag: named([flag]))
def test_each_flag_changes_the_file(flag: FormatFlag) -> None:
    name, beside, what = CHANGES[flag]
    before, after = written(name, beside), written(name, beside | flag)
    header = [int.from_bytes(dump.data[0x18:0x20], "little") for dump in (before, after)]
    row = next(row for row in FLAG_ROWS if row.flag == flag)
    assert header[1] ^ header[0] == row.minidump_type | ALSO_IN_THE_HEADER.get(flag, 0)
    assert header[1] & row.minidump_type
    ranges = [[(item.start, item.end) for item in dump.result.plan.ranges] for dump in (before, after)]
    same = {
        _STREAMS: streams(before.data) == streams(after.data),
        _MEMORY: ranges[0] == ranges[1],
        _BYTES: without_flags(before.data) == without_flags(after.data),
    }
    # From the header's bit alone, over bytes in the same streams and ranges, to other streams.
    expected = {
        _HEADER: {_STREAMS: True, _MEMORY: True, _BYTES: True},
        _BYTES: {_STREAMS: True, _MEMORY: True, _BYTES: False},
        _MEMORY: {_STREAMS: True, _MEMORY: False, _BYTES: False},
        _STREAMS: {_STREAMS: False, _MEMORY: flag != FULL, _BYTES: False},
    }
    assert same == expected[what]


def test_no_ignore_turns_a_hole_in_full_memory_into_a_refusal() -> None:
    """docs/format/minidump-captured-memory.md#unreadable-pages-in-full-memory"""
    assert set(CHANGES) == set(FLAGS)
    for beside in (0, SCAN):
        assert isinstance(agree(target("amd64-torn"), Request(SMALL, FULL | beside)), Agreed)
        found = agree(target("amd64-torn"), Request(SMALL, FULL | beside | NO_IGNORE))
        assert isinstance(found, BothRefuse)
        assert found.writer.hresult == Hresult.ERROR_READ_FAULT


def test_a_writer_that_skips_a_hole_despite_no_ignore_is_caught() -> None:
    torn = target("amd64-torn")
    dump = bytearray(written("amd64-torn", FULL).data)
    bit = {row.flag: row.minidump_type for row in FLAG_ROWS}
    flags = int.from_bytes(dump[0x18:0x20], "little")
    dump[0x18:0x20] = (flags & ~bit[IGNORE] | bit[NO_IGNORE]).to_bytes(8, "little")
    report = check(ByteSource(bytes(dump)), torn.truth, requested(SMALL, FULL | NO_IGNORE))
    assert [item.rule for item in report.failing()] == ["TRUE-REQUEST-001"]


CAB, SECONDARY, IMAGES = (
    F.DEBUG_FORMAT_WRITE_CAB, F.DEBUG_FORMAT_CAB_SECONDARY_FILES, F.DEBUG_FORMAT_CAB_SECONDARY_ALL_IMAGES,
)  # fmt: skip


@pytest.mark.parametrize("cab", [CAB, CAB | SECONDARY, CAB | SECONDARY | IMAGES, CAB | IMAGES])
@pytest.mark.parametrize("flags", [0, FULL, PRIVATE | F.DEBUG_FORMAT_USER_SMALL_FILTER_TRIAGE])
def test_the_dump_in_a_cabinet_is_judged_by_its_flags(tmp_path: Path, cab: int, flags: int) -> None:
    subject, file = target("amd64"), tmp_path / "flags.cab"
    DebugClient(subject.snapshot, start_directory=tmp_path).write(file, SMALL, flags | cab)
    # The image files do not exist here. Only a strict judge reports that they are missing.
    strict = not cab & SECONDARY
    report = judge(file, subject.truth, requested(SMALL, flags | cab, file="flags.cab"), strict=strict)
    assert [(item.rule, item.findings) for item in report.failing()] == []
    assert report.outcome is Outcome.CONFORMANT
    assert report.unclaimed == 0
