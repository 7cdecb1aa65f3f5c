"""A reader's facts compared with the dump: correct facts agree in any spelling, and wrong facts differ."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path
from typing import Any

import pytest
from dumptruth.emu.constants import Qualifier
from dumptruth.emu.debugger.client import DebugClient
from dumptruth.emu.request import KernelProfile, Profile
from dumptruth.emu.synthetic.kernel import RUNS, synthetic_machine
from dumptruth.emu.synthetic.process import synthetic_process
from dumptruth.oracle import ByteSource
from dumptruth.oracle.conform import FactsError
from dumptruth.oracle.conform.expected import Expected, Memory, expected_facts
from dumptruth.oracle.conform.facts import compare
from dumptruth.oracle.conform.protocol import DUMP_KINDS

DATA = bytes(index * 7 % 251 for index in range(0x2000))


def _held(start: int, size: int) -> bytes | None:
    return DATA[start - 0x1000 : start - 0x1000 + size] if 0x1000 <= start <= start + size <= 0x3000 else None


MEMORY = Memory([(0x1000, 0x3000)], _held)
EXPECTED = Expected(
    architecture="amd64",
    threads=[(1, 0x1000, 0x2000, 0x3000), (2, 0x1004, 0x2004, 0x4000)],
    modules=[(0x10000, 0x1000, "a.exe")],
    exception=(1, 0xC0000005, 0x1000),
    has_exception=True,
    memory=MEMORY,
    stream_count=9,
    flags=2,
    dump_kind=("kernel", "active"),
    extra={"command_line": "a.exe -x", "Rip": 0x1000},
)


def _page(start: int, size: int, digest: str | None = None) -> dict[str, Any]:
    data = DATA[start - 0x1000 : start - 0x1000 + size]
    return {"start": hex(start), "size": size, "digest": hashlib.sha256(data).hexdigest() if digest is None else digest}


RIGHT: dict[str, Any] = {
    "architecture": "amd64",
    "threads": [{"thread_id": 2, "teb": "0x4000"}, {"thread_id": "0x1", "instruction_pointer": "4096"}],
    "modules": [{"base": "0x10000", "size": 4096, "name": "a.exe"}],
    "exception": {"thread_id": 1, "code": 0xC0000005},
    "memory": [_page(0x1000, 0x1000), _page(0x2000, 0x800), _page(0x2800, 0x800)],
    "stream_count": 9,
    "flags": "0x2",
    "dump_kind": "active",
    "extra": {"command_line": "a.exe -x", "Rip": "0x1000", "Unknown": []},
}


def test_correct_facts_agree_in_any_order_division_and_spelling() -> None:
    found = compare(EXPECTED, RIGHT)
    assert found.differences == ()
    assert set(found.compared) == set(RIGHT)


def test_facts_that_a_reader_leaves_out_are_not_compared() -> None:
    assert compare(EXPECTED, {}).compared == ()
    assert compare(EXPECTED, {"threads": None, "extra": {"Unknown": 1}}).compared == ()


def test_a_dump_that_has_no_such_fact_is_not_compared_by_it() -> None:
    assert compare(Expected(), RIGHT).compared == ()


@pytest.mark.parametrize(
    ("fact", "value", "told"),
    [
        ("architecture", "x86", "architecture: expected 'amd64', read 'x86'"),
        ("threads", [], "threads: expected 2, read 0"),
        ("threads", [{"thread_id": 1}, {"thread_id": 2}, {"thread_id": 2}], "threads: expected 2, read 3"),
        ("threads", [{"thread_id": 1, "teb": 5}, {"thread_id": 2}], "expected (0x1, 0x1000, 0x2000, 0x3000), read"),
        ("threads", [{"thread_id": 1}, {"thread_id": 3}], "thread 0x3: expected none"),
        ("modules", [{"base": 0x10000, "name": "b.exe"}], "read (0x10000, -, 'b.exe')"),
        ("exception", None, "exception: expected (0x1, 0xc0000005, 0x1000), read none"),
        ("exception", {"thread_id": 1, "address": 0}, "read (0x1, -, 0x0)"),
        ("stream_count", 8, "stream_count: expected 0x9, read 0x8"),
        ("flags", 0, "flags: expected 0x2, read 0x0"),
        ("dump_kind", "small", "dump_kind: expected kernel or active, read small"),
        ("extra", {"Rip": "0x1001"}, "Rip: expected 0x1000, read 0x1001"),
        ("memory", [], "memory: 0x2000 bytes in 1 ranges expected, not read, the first at 0x1000"),
        ("memory", [_page(0x1000, 0x1000)], "memory: 0x1000 bytes in 1 ranges expected, not read, the first at 0x2000"),
        (
            "memory",
            [*RIGHT["memory"], {"start": 0x5000, "size": 16, "digest": "00000000"}],
            "memory: 0x10 bytes in 1 ranges read, not in the dump, the first at 0x5000",
        ),
        (
            "memory",
            [_page(0x1000, 0x1000, "0" * 64), *RIGHT["memory"][1:]],
            "memory 0x1000: the digest of 0x1000 bytes is not that of the dump",
        ),
    ],
)
def test_a_wrong_fact_is_named_with_its_place_and_both_values(fact: str, value: object, told: str) -> None:
    found = compare(EXPECTED, {fact: value})
    assert found.compared == (fact,)
    assert any(told in line for line in found.differences), found.differences


@pytest.mark.parametrize("name", [chr(0xD800) + ".exe", chr(0xFFFD) + ".exe"])
def test_half_a_surrogate_pair_may_be_reported_as_it_is_or_as_a_replacement(name: str) -> None:
    expected = Expected(modules=[(0x10000, 0x1000, "\ufffd.exe")])
    assert compare(expected, {"modules": [{"base": 0x10000, "name": name}]}).differences == ()


def test_an_exception_that_the_dump_lacks_is_reported() -> None:
    assert compare(Expected(has_exception=False), {"exception": {"thread_id": 1}}).differences == (
        "exception: expected none, read (0x1, -, -)",
    )
    assert compare(Expected(has_exception=False), {"exception": None}).differences == ()


@pytest.mark.parametrize(
    "digest",
    [
        lambda data: f"{zlib.crc32(data):08X}",
        lambda data: hashlib.blake2b(data, digest_size=8).hexdigest(),
        lambda data: hashlib.sha256(data).hexdigest(),
    ],
)
def test_a_digest_is_known_by_its_length(digest: Any) -> None:
    starts = (0x1000, 0x2000)
    right = [{"start": start, "size": 0x1000, "digest": digest(DATA[start - 0x1000 : start])} for start in starts]
    assert compare(EXPECTED, {"memory": right}).differences == ()
    wrong = [right[0], right[1] | {"digest": digest(b"other")}]
    assert compare(EXPECTED, {"memory": wrong}).differences


@pytest.mark.parametrize(
    "facts",
    [
        {"digests": []},
        {"memory": [{"start": 0x1000, "size": 0x1000, "digest": "abc"}]},
        {"memory": [{"start": 0x1000, "size": 0x1001}]},
        {"memory": {}},
        {"threads": [1]},
        {"threads": [{}]},
        {"modules": [{"base": 1 << 64}]},
        {"modules": [{"base": True}]},
        {"flags": "two"},
        {"dump_kind": "triage"},
        {"dump_kind": 6},
        {"architecture": 64},
    ],
)
def test_a_fact_outside_the_protocol_is_named(facts: dict[str, Any]) -> None:
    with pytest.raises(FactsError):
        compare(EXPECTED, facts)


def test_many_differences_are_counted_not_listed() -> None:
    found = compare(EXPECTED, {"threads": [{"thread_id": index} for index in range(10, 60)]})
    assert len(found.differences) == 4
    assert found.differences[-1] == "threads: 50 more differences"


def test_the_facts_of_a_minidump_are_those_of_the_process(tmp_path: Path) -> None:
    target = synthetic_process()
    DebugClient(target).write(tmp_path / "a.dmp", Qualifier.DEBUG_DUMP_DEFAULT)
    with ByteSource.open(tmp_path / "a.dmp") as source:
        facts = expected_facts(source)
        assert facts.threads == [
            (thread.thread_id, thread.context["Rip"], thread.context["Rsp"], thread.teb) for thread in target.threads
        ]
        assert facts.modules == [(module.base, module.size, module.name) for module in target.modules]
        assert facts.memory is not None
        assert sum(end - start for start, end in facts.memory.ranges) == sum(len(run.data) for run in target.memory)
        run = target.memory[0]
        assert facts.memory.read(run.start, 16) == bytes(run.data[:16])
        # FULL_MEMORY adds 0x20000, the engine 0x40000: docs/format/format-flags.md#order-of-cancelling
        assert facts.flags == 0x61826
    assert target.exception is not None
    assert facts.exception == (target.exception.thread_id, target.exception.code, target.exception.address)


@pytest.mark.parametrize("profile", [KernelProfile.PORTABLE, KernelProfile.BITMAP, KernelProfile.RANGES])
def test_the_facts_of_a_kernel_dump_are_those_of_the_machine(tmp_path: Path, profile: KernelProfile) -> None:
    machine = synthetic_machine()
    DebugClient(machine, profile=profile).write(tmp_path / "a.dmp", Qualifier.DEBUG_DUMP_FULL)
    with ByteSource.open(tmp_path / "a.dmp") as source:
        facts = expected_facts(source)
        assert facts.memory is not None
        assert facts.memory.ranges == [(start << 12, start + count << 12) for start, count in RUNS]
        touched = machine.memory[0].base_page
        assert facts.memory.read(touched << 12, 0x1000) == bytes(machine.page(touched) or b"")
        assert facts.memory.read(0, 16) is None
    assert facts.extra["BugCheckCode"] == machine.bug_check.code
    assert facts.extra["BugCheckCodeParameter[3]"] == machine.bug_check.parameters[3]
    assert facts.extra["Rip"] == machine.processors[0].context["Rip"]
    assert facts.extra["MemoryMap"] == "0x1000+0x9f000 0x100000+0x300000 0x410000+0x1f0000"


@pytest.mark.parametrize(
    ("profile", "qualifier", "kinds"),
    [
        (KernelProfile.PORTABLE, Qualifier.DEBUG_DUMP_FULL, ("complete",)),
        (KernelProfile.BITMAP, Qualifier.DEBUG_DUMP_FULL, ("complete", "active")),
        (KernelProfile.RANGES, Qualifier.DEBUG_DUMP_FULL, ("complete",)),
        (KernelProfile.CLASSIC, Qualifier.DEBUG_DUMP_DEFAULT, ("kernel",)),
        (KernelProfile.PORTABLE, Qualifier.DEBUG_DUMP_ACTIVE, ("kernel", "active")),
        (KernelProfile.RANGES, Qualifier.DEBUG_DUMP_ACTIVE, ("active",)),
        (KernelProfile.RANGES, Qualifier.DEBUG_DUMP_DEFAULT, ("kernel",)),
        (KernelProfile.PORTABLE, Qualifier.DEBUG_DUMP_SMALL, ("small",)),
        (KernelProfile.HEADER, Qualifier.DEBUG_DUMP_FULL, ("header",)),
        (Profile.MODERN, Qualifier.DEBUG_DUMP_SMALL, ("minidump",)),
        (Profile.LEGACY, Qualifier.DEBUG_DUMP_DEFAULT, ("userdump",)),
    ],
)
def test_every_kind_of_dump_has_its_word(
    tmp_path: Path, profile: KernelProfile | Profile, qualifier: Qualifier, kinds: tuple[str, ...]
) -> None:
    target = synthetic_machine() if isinstance(profile, KernelProfile) else synthetic_process()
    DebugClient(target, profile=profile).write(tmp_path / "a.dmp", qualifier)
    with ByteSource.open(tmp_path / "a.dmp") as source:
        assert expected_facts(source).dump_kind == kinds
    assert set(kinds) <= set(DUMP_KINDS)
