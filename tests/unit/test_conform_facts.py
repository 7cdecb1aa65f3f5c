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
from dumptruth.fixtures.vectors.build import make
from dumptruth.fixtures.vectors.recipe import load_recipes
from dumptruth.oracle import ByteSource
from dumptruth.oracle.conform import FactsError
from dumptruth.oracle.conform.catalog import catalog
from dumptruth.oracle.conform.expected import Expected, Memory
from dumptruth.oracle.conform.expecting import expected_facts
from dumptruth.oracle.conform.facts import compare
from dumptruth.oracle.conform.protocol import DUMP_KINDS

DATA = bytes(index * 7 % 251 for index in range(0x2000))


def _held(start: int, size: int) -> bytes | None:
    return DATA[start - 0x1000 : start - 0x1000 + size] if 0x1000 <= start <= start + size <= 0x3000 else None


MEMORY = Memory([(0x1000, 0x3000)], _held)
EXPECTED = Expected(
    {
        "architecture": "amd64",
        "threads": [
            {"thread_id": 1, "instruction_pointer": 0x1000, "stack_pointer": 0x2000, "teb": 0x3000, "priority": -2},
            {"thread_id": 2, "instruction_pointer": 0x1004, "stack_pointer": 0x2004, "teb": 0x4000, "name": "worker"},
        ],
        "registers": [{"thread_id": 1, "general": {"rip": 0x1000, "rax": 7}, "vector": {"xmm0": 1 << 100}}],
        "modules": [
            {"base": 0x10000, "size": 0x1000, "name": "a.exe", "pdb_guid": "0" * 8 + 3 * "-0000" + "-" + "0" * 12}
        ],
        "unloaded_modules": [{"base": 0x30000, "name": "x.dll"}, {"base": 0x30000, "name": "y.dll"}],
        "exception": {"thread_id": 1, "code": 0xC0000005, "address": 0x1000, "parameters": (1, 0)},
        "memory": MEMORY,
        "stream_count": 9,
        "flags": 2,
        "dump_kind": frozenset({"kernel", "active"}),
        "extra": {"command_line": "a.exe -x", "Rip": 0x1000},
    }
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
    assert {path.partition(".")[0] for path in found.compared} == set(RIGHT)


def test_what_is_compared_is_told_member_by_member() -> None:
    found = compare(EXPECTED, {"threads": [{"thread_id": 1}, {"thread_id": 2}]})
    assert found.compared == ("threads.thread_id",)
    assert {"threads.thread_id", "threads.teb", "threads.priority", "registers.vector", "flags"} <= set(found.known)
    assert "threads.create_time" not in found.known


def test_two_items_with_one_key_are_told_apart_by_their_other_members() -> None:
    right = [{"base": 0x30000, "name": "y.dll"}, {"base": 0x30000, "name": "x.dll"}]
    assert compare(EXPECTED, {"unloaded_modules": right}).differences == ()
    wrong = [right[0], right[0]]
    assert compare(EXPECTED, {"unloaded_modules": wrong}).differences == (
        "unloaded_modules 0x30000 name: expected 'x.dll', read 'y.dll'",
    )


def test_registers_have_any_case_and_those_that_are_left_out_are_not_compared() -> None:
    right = [{"thread_id": 1, "general": {"RAX": "0x7", "R8": 5}, "vector": {"Xmm0": hex(1 << 100)}}]
    assert compare(EXPECTED, {"registers": right}).differences == ()


def test_a_list_has_a_key_among_its_members_and_a_value_one_member() -> None:
    for fact in catalog().values():
        names = [member.name for member in fact.members]
        assert len(set(names)) == len(names)
        assert (fact.key if fact.shape == "list" else "") in (*names, "")
        assert bool(fact.key) == (fact.shape == "list")
        assert (names == [""]) == (fact.shape == "value")


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
        ("threads", [{"thread_id": 1, "teb": 5}, {"thread_id": 2}], "threads 0x1 teb: expected 0x3000, read 0x5"),
        ("threads", [{"thread_id": 1}, {"thread_id": 3}], "threads 0x3: expected none, read one"),
        ("modules", [{"base": 0x10000, "name": "b.exe"}], "modules 0x10000 name: expected 'a.exe', read 'b.exe'"),
        ("exception", None, "exception: expected one, read none"),
        ("exception", {"thread_id": 1, "address": 0}, "exception.address: expected 0x1000, read 0x0"),
        ("stream_count", 8, "stream_count: expected 0x9, read 0x8"),
        ("flags", 0, "flags: expected 0x2, read 0x0"),
        ("dump_kind", "small", "dump_kind: expected active or kernel, read 'small'"),
        ("extra", {"Rip": "0x1001"}, "Rip: expected 0x1000, read 0x1001"),
        (
            "threads",
            [{"thread_id": 1, "priority": 2}, {"thread_id": 2}],
            "threads 0x1 priority: expected -0x2, read 0x2",
        ),
        ("exception", {"parameters": [1]}, "exception.parameters: expected [0x1, 0x0], read [0x1]"),
        (
            "registers",
            [{"thread_id": 1, "general": {"rax": 8}}],
            "registers 0x1 rax: expected 0x7, read 0x8",
        ),
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
    assert {path.partition(".")[0] for path in found.compared} == {fact}
    assert {path.partition(".")[0] for path in found.wrong} == {fact}
    assert set(found.wrong) <= set(found.compared)
    assert any(told in line for line in found.differences), found.differences


def test_the_registers_of_arm_are_those_of_its_context() -> None:
    recipes = load_recipes()
    made = make(recipes["user/odd/arm"], recipes)
    assert made.data is not None
    facts = expected_facts(ByteSource(made.data)).facts
    first = facts["registers"][0]
    assert facts["architecture"] == "arm"
    assert set(first["general"]) == {*(f"r{number}" for number in range(13)), "sp", "lr", "pc", "cpsr"}
    assert (first["general"]["r12"], first["general"]["pc"]) == (0x100C, facts["threads"][0]["instruction_pointer"])
    assert first["vector"]["d1"] == 0x3FF0_0000_0000_1000
    assert "debug" not in first  # ContextFlags 0x200007 has no debug registers


def test_the_bits_of_a_signed_number_may_be_reported_without_sign() -> None:
    threads = [{"thread_id": 1, "priority": "0xfffffffe"}, {"thread_id": 2}]
    assert compare(EXPECTED, {"threads": threads}).differences == ()


def test_memory_that_the_dump_has_without_an_address_may_be_reported_but_with_the_right_bytes() -> None:
    expected = Expected({"virtual_memory": Memory([(0x1000, 0x2000)], _in_the_dump, _held)})
    inside, beyond = _page(0x1000, 0x1000), _page(0x2800, 0x800)
    assert compare(expected, {"virtual_memory": [inside]}).differences == ()
    assert compare(expected, {"virtual_memory": [inside, beyond]}).differences == ()
    wrong = compare(expected, {"virtual_memory": [inside, beyond | {"digest": "0" * 8}]})
    assert wrong.differences == ("virtual_memory 0x2800: the digest of 0x800 bytes is not that of the dump",)
    nowhere = compare(expected, {"virtual_memory": [inside, {"start": 0x5000, "size": 16}]})
    assert nowhere.differences == ("virtual_memory: 0x10 bytes in 1 ranges read, not in the dump, the first at 0x5000",)


def _in_the_dump(start: int, size: int) -> bytes | None:
    return _held(start, size) if start + size <= 0x2000 else None


@pytest.mark.parametrize("name", [chr(0xD800) + ".exe", chr(0xFFFD) + ".exe"])
def test_half_a_surrogate_pair_may_be_reported_as_it_is_or_as_a_replacement(name: str) -> None:
    expected = Expected({"modules": [{"base": 0x10000, "size": 0x1000, "name": "\ufffd.exe"}]})
    assert compare(expected, {"modules": [{"base": 0x10000, "name": name}]}).differences == ()


def test_an_exception_that_the_dump_lacks_is_reported() -> None:
    assert compare(Expected({"exception": None}), {"exception": {"thread_id": 1}}).differences == (
        "exception: expected none, read one",
    )
    assert compare(Expected({"exception": None}), {"exception": None}).differences == ()


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
        {"modules": [{"base": 1 << 512}]},
        {"modules": [{"base": True}]},
        {"flags": "two"},
        {"dump_kind": "triage"},
        {"dump_kind": 6},
        {"architecture": 64},
        {"modules": [{"base": 1, "pdb_guid": "abc"}]},
        {"exception": {"parameters": 5}},
        {"registers": [{"thread_id": 1, "general": [1]}]},
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
        facts = expected_facts(source).facts
        for thread, fact in zip(target.threads, facts["threads"], strict=True):
            pointers = {"instruction_pointer": thread.context["Rip"], "stack_pointer": thread.context["Rsp"]}
            assert fact.items() >= {"thread_id": thread.thread_id, "teb": thread.teb, **pointers}.items()
        for thread, fact in zip(target.threads, facts["registers"], strict=True):
            assert fact["general"]["r15"] == thread.context["R15"]
        for module, fact in zip(target.modules, facts["modules"], strict=True):
            assert (fact["base"], fact["size"], fact["name"]) == (module.base, module.size, module.name)
        memory = facts["memory"]
        assert sum(end - start for start, end in memory.ranges) == sum(len(run.data) for run in target.memory)
        run = target.memory[0]
        assert memory.read(run.start, 16) == bytes(run.data[:16])
        # FULL_MEMORY adds 0x20000, the engine 0x40000: docs/format/format-flags.md#order-of-cancelling
        assert facts["flags"] == 0x61826
    assert target.exception is not None
    told = (facts["exception"]["thread_id"], facts["exception"]["code"], facts["exception"]["address"])
    assert told == (target.exception.thread_id, target.exception.code, target.exception.address)


@pytest.mark.parametrize("profile", [KernelProfile.PORTABLE, KernelProfile.BITMAP, KernelProfile.RANGES])
def test_the_facts_of_a_kernel_dump_are_those_of_the_machine(tmp_path: Path, profile: KernelProfile) -> None:
    machine = synthetic_machine()
    DebugClient(machine, profile=profile).write(tmp_path / "a.dmp", Qualifier.DEBUG_DUMP_FULL)
    with ByteSource.open(tmp_path / "a.dmp") as source:
        facts = expected_facts(source).facts
        memory, extra = facts["memory"], facts["extra"]
        assert memory.ranges == [(start << 12, start + count << 12) for start, count in RUNS]
        touched = machine.memory[0].base_page
        assert memory.read(touched << 12, 0x1000) == bytes(machine.page(touched) or b"")
        assert memory.read(0, 16) is None
    assert extra["BugCheckCode"] == machine.bug_check.code
    assert extra["BugCheckCodeParameter[3]"] == machine.bug_check.parameters[3]
    assert extra["Rip"] == machine.processors[0].context["Rip"]
    assert extra["MemoryMap"] == "0x1000+0x9f000 0x100000+0x300000 0x410000+0x1f0000"


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
        assert expected_facts(source).facts["dump_kind"] == set(kinds)
    assert set(kinds) <= set(DUMP_KINDS)
