"""``dumptruth.oracle`` keeps what docs/api.md promises, for damaged and hostile files and all forms of arguments."""

from __future__ import annotations

import copy
import gc
import json
import pickle
import sys
import threading
import time
import tracemalloc
import typing
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from shutil import copyfile, copytree
from struct import pack
from types import SimpleNamespace
from typing import Any

import dumptruth.oracle
import pytest
from dumptruth.oracle import (
    ByteSource,
    Contents,
    InputError,
    Memory,
    Module,
    NotADumpError,
    Outcome,
    PhysicalPages,
    Report,
    RuleResult,
    SelectionError,
    Thread,
    TruthError,
    all_rules,
    check,
    identify,
    load_any_truth,
    load_request_file,
    read,
    read_minidump,
    read_userdump,
)
from dumptruth.oracle.decode import structure
from dumptruth.oracle.entitlement.cache import computed_once
from dumptruth.oracle.inputs import PROFILES, request_of
from dumptruth.oracle.vectors import Vector, load_vectors, packaged
from hypothesis import given, settings
from hypothesis import strategies as st

FILES = [vector for vector in load_vectors(packaged()) if vector.path is not None]
BY_NAME = {vector.name: vector for vector in FILES}
USER, MACHINE, CABINET = "by-hand/rich", "kernel/ram/type-1-three-runs", "cab/small"
KINDS = (USER, MACHINE, CABINET, "kernel/header/small", "by-hand/userdump")
ODD = (0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 62, 1 << 63, (1 << 64) - 1)
SYSTEM_INFO = (7, pack("<HHHBBIIIIIHH24x", 9, 6, 1, 1, 1, 10, 0, 1, 2, 0, 0, 0))


def path_of(name: str) -> Path:
    path = BY_NAME[name].path
    assert path is not None
    return path


def judgeable(**members: str) -> Vector:
    """The first valid golden whose dump, truth and request this installation has."""
    return next(
        vector
        for vector in FILES
        if vector.kind == "valid"
        and vector.truth_folder is not None
        and all(vector.entry[member] == value for member, value in members.items())
    )


PROCESS = judgeable(mode="user", container="minidump", qualifier="DEBUG_DUMP_SMALL")
KERNEL = judgeable(mode="kernel", container="kernel-dump", profile="header")


def minidump(*streams: tuple[int, bytes | Callable[[int], bytes]]) -> bytes:
    """A minidump of streams; a function gets the file offset of its stream."""
    at, directory, body = 32 + 12 * len(streams), b"", b""
    for number, made in streams:
        data = made(at) if callable(made) else made
        directory += pack("<III", number, len(data), at)
        body += data
        at += len(data)
    return pack("<4sIIIIIQ", b"MDMP", 0xA793, len(streams), 32, 0, 0, 0) + directory + body


def walk(dump: Contents) -> None:
    """Use every member, and check what each says of itself."""
    assert repr(dump)
    assert dump.kind in ("minidump", "userdump", "kernel-dump")
    assert dump.architecture in ("x86", "amd64", "arm", "arm64", None)
    starts = [start for start, _ in dump.memory.ranges]
    ends = [end for _, end in dump.memory.ranges]
    assert all(end < start for end, start in zip(ends, starts[1:], strict=False))
    addresses = {0, -1, 1 << 63, 1 << 64, 1 << 80, *starts[:4], *ends[:4]}
    for thread in dump.threads[:20]:
        start, end = thread.stack
        assert (dump.memory.read(start, end - start) is None) == (start == end)
        assert thread.registers == dict(thread.registers)
        addresses |= {start, end, thread.teb}
    for module in dump.modules[:20]:
        assert module.path.endswith(module.name)
        assert (module.base in module) == (module.size > 0)
        addresses.add(module.base)
    for address in addresses:
        for size in (0, -1, 1, 4097, 1 << 40, 1 << 80):
            found = dump.memory.read(address, size)
            assert found is None or (type(found) is bytes and len(found) == size > 0)
    if dump.pages is not None:
        runs = list(dump.pages.runs())
        assert dump.pages.count == sum(count for _, count in runs)
        for first, count in runs[:8]:
            assert [len(dump.pages.read(pfn) or b"") for pfn in (first, first + count - 1)] == [4096, 4096]
        for pfn in (-1, 1 << 63, 1 << 80):
            assert dump.pages.read(pfn) is None
    assert dump.exception is None or len(dump.exception.parameters) <= 15
    assert dump.comment is None or isinstance(dump.comment, str)
    assert all(stream.name and stream.size >= 0 for stream in dump.streams)


def test_every_golden_is_read_or_refused_in_one_line() -> None:
    refused = {}
    for vector in FILES:
        try:
            with read(str(vector.path)) as dump:
                walk(dump)
        except NotADumpError as error:
            refused[vector.name] = str(error)
    assert all(BY_NAME[name].kind != "valid" for name in refused)
    assert not any("\n" in text for text in refused.values())


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """The bytes of a golden, cut or with a few fields overwritten. Most fields are near the start."""
    data = bytearray(draw(st.sampled_from(FILES)).read())
    if draw(st.booleans()):
        del data[draw(st.integers(0, len(data))) :]
    for _ in range(draw(st.integers(0, 6))):
        reach = draw(st.sampled_from((64, 512, 0x2100, 1 << 30)))
        at = draw(st.integers(0, min(reach, len(data)))) & ~3
        width = draw(st.sampled_from((1, 2, 4, 8)))
        value = draw(st.one_of(st.sampled_from(ODD), st.integers(0, 2 * len(data))))
        data[at : at + width] = (value % (1 << 8 * width)).to_bytes(width, "little")[: len(data) - at]
    return bytes(data)


@given(damaged())
@settings(max_examples=100)
def test_a_damaged_file_is_read_without_its_damaged_parts(data: bytes) -> None:
    with suppress(NotADumpError), read(data) as dump:
        walk(dump)


@given(
    st.sampled_from(KINDS),
    st.one_of(st.integers(), st.integers(0, 1 << 64), st.sampled_from(ODD)),
    st.one_of(st.integers(), st.integers(0, 9000)),
)
def test_memory_gives_all_bytes_or_none(name: str, address: int, size: int) -> None:
    with read(path_of(name)) as dump:
        bases = [start for start, _ in dump.memory.ranges] + [module.base for module in dump.modules] + [0]
        for at in (address, bases[0] + address % 4096):
            found = dump.memory.read(at, size)
            assert found is None or len(found) == size


@pytest.mark.parametrize(
    ("machine", "context", "pointer"),
    [
        (0, "CONTEXT_X86", "eip"),
        (9, "CONTEXT_AMD64", "rip"),
        (5, "CONTEXT_ARM", "pc"),
        (5, "CONTEXT_ARM_BREAKPAD", "pc"),
        (12, "CONTEXT_ARM64", "pc"),
        (12, "CONTEXT_ARM64_BREAKPAD", "pc"),
    ],
)
def test_registers_are_integers_of_at_most_64_bits(machine: int, context: str, pointer: str) -> None:
    size = structure(context).size
    thread = pack("<IIIIIQQIIII", 1, 1, 0, 0, 0, 0, 0, 0, 0, size, 32 + 36)
    data = minidump((0x10000, b"\xee" * size), (7, pack("<H", machine) + SYSTEM_INFO[1][2:]), (3, thread))
    with read(data) as dump:
        (found,) = dump.threads
    assert found.registers[pointer] == found.instruction_pointer
    assert "nothing" not in found.registers
    assert all(0 < value < 1 << 64 for value in found.registers.values())


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "an empty file"),
        (b"hello", "a text file"),
        (b"MSCF" + bytes(60), "a cabinet without a dump that can be read"),
        (b"PMDM" + bytes(60), "a minidump of a big-endian writer"),
        (b"\x7fELF" + bytes(60), r"an ELF file .*"),
    ],
)
def test_a_file_that_is_no_dump_is_named_with_what_it_is(data: bytes, found: str, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(data)
    with pytest.raises(NotADumpError, match=f"^the bytes: expected a crash dump, found {found}$"):
        read(data)
    with pytest.raises(NotADumpError, match=f"^a.bin: expected a crash dump, found {found}$"):
        read(path)
    path.unlink()


@pytest.mark.parametrize("use", [read, check, identify])
@pytest.mark.parametrize("name", ["missing.dmp", "folder", "a\0b"])
def test_a_path_that_cannot_be_opened_is_an_os_error_with_the_path(
    use: Callable[[Path], object], name: str, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match=r".") as caught:
        use(tmp_path / name)
    assert caught.value.filename is not None
    assert str(caught.value.filename) == str(tmp_path / name)


# Time and memory of hostile files.


def test_a_dump_that_names_2_60_pages_holds_those_of_the_file() -> None:
    data = bytearray(path_of(MACHINE).read_bytes())
    block = structure("DUMP_HEADER64").fields["PhysicalMemoryBlock"].offset
    runs = b"".join(pack("<QQ", index << 58, 1 << 58) for index in range(4))
    data[block : block + 16 + len(runs)] = pack("<IIQ", 4, 0, 1 << 60) + runs
    start = time.process_time()
    with read(bytes(data)) as dump:
        assert dump.pages is not None
        assert list(dump.pages.runs()) == [(0, (len(data) - 0x2000) // 4096)]
        walk(dump)
    assert time.process_time() - start < 2


def test_modules_that_share_a_huge_code_view_record_cost_no_memory() -> None:
    size, count = 1 << 20, 5000
    record = pack("<QIIII", 0x10000, 0x1000, 0, 0, 0) + bytes(52) + pack("<IIII", size, 32 + 36, 0, 0) + bytes(16)
    data = minidump((0x10000, b"RSDS" * (size // 4)), SYSTEM_INFO, (4, pack("<I", count) + record * count))
    start = time.process_time()
    with read(data) as dump:
        assert len(dump.modules) == count
        assert 0 < sum(len(module.pdb or "") for module in dump.modules) <= 64 << 20
    assert time.process_time() - start < 5  # with the whole record for each module: 5 GB of text


def test_memory_that_names_the_same_bytes_for_many_addresses_is_given_in_parts() -> None:
    size, count = 1 << 16, 1 << 10
    ranges = b"".join(pack("<QII", index * size, size, 32 + 24) for index in range(count))
    data = minidump((0x10000, b"x" * size), (5, pack("<I", count) + ranges))
    with read(data) as dump:
        assert dump.memory.ranges == ((0, size * count),)  # 64 MiB, in a file of less than 128 KiB
        assert dump.memory.read(0, size * count) is None
        assert dump.memory.read(size * count - len(data), len(data)) == b"x" * len(data)


def test_a_thread_costs_little_more_than_its_records() -> None:
    count = 1000
    contexts = bytes(range(256)) * (1232 // 256 + count // 256 + 2)
    entries = b"".join(pack("<IIIIQQIIII", index + 1, 0, 0, 0, 0, 0, 0, 0, 1232, 68 + index) for index in range(count))
    source = ByteSource(minidump((0x10000, contexts), SYSTEM_INFO, (3, pack("<I", count) + entries)))
    costs = []
    for use in (read_minidump, read):
        tracemalloc.start()
        held = use(source)
        costs.append(tracemalloc.get_traced_memory()[0] / count)
        tracemalloc.stop()
        del held
    assert costs[1] - costs[0] < 1024  # in bytes; with decoded registers: 4 KB


def test_threads_and_regions_of_a_user_dump_are_matched_in_little_time() -> None:
    threads, regions = 2000, 12_000
    names = ("USERMODE_CRASHDUMP_HEADER64", "CRASH_THREAD64", "CONTEXT_AMD64", "MEMORY_BASIC_INFORMATION64")
    header, thread, context, region = (structure(name) for name in names)

    def filled(table: Any, **values: int) -> bytes:
        data = bytearray(table.size)
        for name, value in values.items():
            field = table.fields[name]
            data[field.offset : field.offset + field.width] = value.to_bytes(field.width, "little")
        return bytes(data)

    at_threads = header.size
    at_contexts = at_threads + threads * thread.size
    at_regions = at_contexts + threads * context.size
    at_data = at_regions + regions * region.size
    head = bytearray(
        filled(
            header, MachineImageType=0x8664, ThreadCount=threads, ThreadStateOffset=at_threads,
            ThreadOffset=at_contexts, MemoryRegionCount=regions, MemoryRegionOffset=at_regions, DataOffset=at_data,
        )
    )  # fmt: skip
    head[:8] = b"USERDU64"
    last = (regions - 1) * 0x2000
    data = bytes(head) + bytes(threads * thread.size) + filled(context, Rsp=last + 8) * threads
    data += b"".join(filled(region, BaseAddress=index * 0x2000, RegionSize=16) for index in range(regions))
    data += bytes(regions * 16)
    start = time.process_time()
    read_userdump(ByteSource(data))
    middle = time.process_time()
    with read(data) as dump:
        end = time.process_time()
        assert {thread.stack for thread in dump.threads} == {(last + 8, last + 16)}
        assert len(dump.memory.ranges) == regions
    assert end - middle < 5 * (middle - start)  # with a search through all regions for each thread: 20 times


def test_text_is_identified_in_little_time() -> None:
    """A cabinet of one megabyte can hold 65,535 texts."""
    source = ByteSource(b"hello world\r\n" * 400)
    start = time.process_time()
    assert {identify(source).kind for _ in range(20_000)} == {"text"}
    assert time.process_time() - start < 4  # takes tenths of a second; byte by byte, 8 s or more


# Resources.


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Without the garbage collector, only reference counts free the views of a file."""
    gc.disable()
    yield
    gc.enable()


def released(path: Path) -> bool:
    """Whether no map of the file is left. Windows deletes no mapped file."""
    maps = Path("/proc/self/maps")
    if maps.exists():
        return str(path) not in maps.read_text()
    path.unlink()
    return True


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="needs reference counts")
@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("name", [*KINDS, "cab/kernel-small"])
def test_the_file_is_closed_behind_read_check_and_identify(name: str, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}{path_of(name).suffix}" for number in range(3)]
    for path in paths:
        copyfile(path_of(name), path)
    with read(paths[0]) as dump:
        walk(dump)
    assert released(paths[0])
    report, identity = check(paths[1]), identify(paths[2])
    assert released(paths[1])
    assert released(paths[2])
    assert [dump.kind, report.kind, identity.kind]  # they are alive


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="needs reference counts")
@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("vector", [PROCESS, KERNEL], ids=["process", "machine"])
def test_the_truth_that_check_loads_is_closed(vector: Vector, tmp_path: Path) -> None:
    assert vector.truth_folder is not None
    copytree(vector.truth_folder, tmp_path / "truth")
    assert check(vector.read(), tmp_path / "truth", vector.request()).outcome is Outcome.CONFORMANT
    assert released(tmp_path / "truth" / "memory.bin")


@pytest.mark.usefixtures("no_collector")
def test_the_file_is_closed_behind_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.cab").write_bytes(b"MSCF" + bytes(60))
    with pytest.raises(NotADumpError):
        read(tmp_path / "a.cab")
    assert released(tmp_path / "a.cab")


def test_a_source_of_the_caller_stays_open_and_usable() -> None:
    with ByteSource.open(path_of(USER)) as source:
        with read(source) as dump:
            walk(dump)
        check(source)
        identify(source)
        assert source.read(0, 4) == b"MDMP"
    other = ByteSource(b"hello")
    with pytest.raises(NotADumpError):
        read(other)
    assert other.read(0, 5) == b"hello"


def test_a_closed_dump_keeps_its_values_and_refuses_memory() -> None:
    for name in (USER, MACHINE, CABINET):
        with read(path_of(name)) as dump:
            registers = dict(dump.registers)
        dump.close()  # twice is allowed
        assert dump.registers == registers
        assert repr(dump)
        uses: list[Callable[[], object]] = [lambda dump=dump: dump.memory.read(0, 1), lambda dump=dump: dump.facts]  # type: ignore[misc]
        if dump.pages is not None:
            uses += [lambda pages=dump.pages: pages.read(0), lambda pages=dump.pages: pages.count]  # type: ignore[misc]
        for use in uses:
            with pytest.raises(ValueError, match="the dump is closed"):
                use()


def test_a_bytearray_can_be_resized_once_the_dump_is_closed() -> None:
    data = bytearray(path_of(USER).read_bytes())
    with read(data):
        pass
    check(data)
    data.clear()


def test_results_can_be_pickled_copied_and_hashed() -> None:
    for name in (USER, MACHINE, CABINET):
        report = check(path_of(name))
        with read(path_of(name)) as dump:
            values = (report, identify(path_of(name)), dump.threads, dump.modules, dump.exception, dump.registers)
            assert len({report, dump, dump.memory, *dump.threads, *dump.modules, *dump.streams}) > 2
            assert copy.copy(dump).memory is dump.memory
        for value in values:
            assert pickle.loads(pickle.dumps(value)) == value
            assert copy.deepcopy(value) == value


# Arguments.


def judged(**arguments: Any) -> Report:
    """The report on the golden of a process, against its truth and request unless ``arguments`` say otherwise."""
    given: dict[str, Any] = {"dump": PROCESS.read(), "truth": PROCESS.truth_folder}
    if "qualifier" not in arguments:
        given["request"] = PROCESS.entry["request"]
    return check(**(given | arguments))


def test_every_form_of_a_dump_gives_the_same_report() -> None:
    path, data = PROCESS.path, PROCESS.read()
    spread = memoryview(bytes(byte for value in data for byte in (value, 0)))
    forms: list[Any] = [
        str(path), data, bytearray(data), memoryview(data), memoryview(b"?" + data)[1:], spread[::2], ByteSource(data)
    ]  # fmt: skip
    expected = check(path)  # type: ignore[arg-type]
    assert expected.outcome is Outcome.CONFORMANT
    for form in forms:
        assert replace(check(form), file=expected.file) == expected
        assert identify(form) == identify(data)
        with read(form) as dump, read(data) as other:
            assert (dump.threads, dump.modules) == (other.threads, other.modules)


def test_every_form_of_truth_and_request_gives_the_same_report(tmp_path: Path) -> None:
    assert PROCESS.truth_folder is not None
    copytree(PROCESS.truth_folder, tmp_path / "truth")
    document = PROCESS.entry["request"]
    file = tmp_path / "truth" / "request.json"
    expected = judged()
    assert expected.own
    assert expected.outcome is Outcome.CONFORMANT
    file.write_text(json.dumps(document))
    truths = [str(tmp_path / "truth"), tmp_path / "truth", load_any_truth(tmp_path / "truth")]
    for truth in truths:
        for request in (document, str(file), file, load_request_file(file)):
            assert judged(truth=truth, request=request) == expected
    assert check(PROCESS.read(), tmp_path / "truth") == expected
    value = document["format_flags_value"]
    for flags in (value, [value], document["format_flags"], iter(document["format_flags"])):
        assert judged(qualifier="small", flags=flags).outcome is Outcome.CONFORMANT


@pytest.mark.parametrize("qualifier", [1024, "small", "SMALL", " Small ", "DEBUG_DUMP_SMALL", "debug-dump-small"])
def test_a_qualifier_has_several_spellings(qualifier: str | int) -> None:
    asked = request_of(None, qualifier=qualifier)
    assert asked is not None
    assert (asked.qualifier, asked.qualifier_value) == ("DEBUG_DUMP_SMALL", 1024)


@pytest.mark.parametrize(
    "flags",
    [
        0x2, "handle-data", "HANDLE_DATA", ["handle-data"], ("DEBUG_FORMAT_USER_SMALL_HANDLE_DATA",), {"Handle-Data"},
        [0x2], ["handle-data", 0x2], (name for name in ["user-small-handle-data"]),
    ],
)  # fmt: skip
def test_flags_are_a_number_a_name_or_several(flags: Any) -> None:
    asked = request_of(None, qualifier=1024, flags=flags)
    assert asked is not None
    assert asked.format_flags_value == 2
    assert asked.format_flags == ("DEBUG_FORMAT_USER_SMALL_HANDLE_DATA",)


@pytest.mark.parametrize("flags", [0, (), [], iter(())])
def test_no_flags_need_no_qualifier(flags: Any) -> None:
    assert check(PROCESS.read(), flags=flags).outcome is Outcome.CONFORMANT


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"qualifier": "tiny"}, InputError, "unknown qualifier 'tiny': expected a number or one of DEBUG_DUMP_SMALL, "),
        ({"qualifier": ""}, InputError, "unknown qualifier '': expected "),
        ({"qualifier": -1}, InputError, "qualifier -1: expected a number of 32 bits"),
        ({"qualifier": 1 << 32}, InputError, "qualifier 4294967296: expected a number of 32 bits"),
        ({"qualifier": "small", "flags": ["handles"]}, InputError, "unknown format flag 'handles': expected "),
        ({"qualifier": "small", "flags": [1, -1]}, InputError, "format flag -1: expected a number of 32 bits"),
        ({"flags": 2, "request": None}, InputError, "flags are given without a qualifier: pass qualifier='small'"),
        ({"qualifier": 1024, "request": {}}, InputError, "both a request and a qualifier are given"),
        ({"profile": "bogus"}, InputError, "unknown profile 'bogus': expected one of modern, legacy, refuse, "),
        ({"profile": ""}, InputError, "unknown profile '': expected one of "),
        ({"truth": None}, SelectionError, "expected both a truth and the request"),
        ({"request": None}, SelectionError, "expected both a truth and the request"),
        ({"select": ["NOTHING-*"]}, SelectionError, "no rule matches 'NOTHING-*'"),
        ({"skip": "NOTHING"}, SelectionError, "no rule matches 'NOTHING'"),
        ({"truth": "no-such-folder"}, TruthError, "no-such-folder: truth.json: cannot be read: "),
        ({"request": "no-such-folder/r.json"}, TruthError, "no-such-folder: r.json: cannot be read: "),
        ({"request": {}}, TruthError, "request.json.format: expected 'dumptruth-request', found none"),
        ({"dump": None}, TypeError, "dump: expected a path, bytes or a ByteSource, found NoneType"),
        ({"truth": b"held"}, TypeError, "truth: expected a directory or a loaded truth, found bytes"),
        ({"request": 1024}, TypeError, "request: expected a request.json, its JSON object or a loaded request, "),
        ({"qualifier": 1024.0}, TypeError, "qualifier: expected a name or a number, found float"),
        ({"qualifier": 1024, "flags": [None]}, TypeError, "format flag: expected a name or a number, found NoneType"),
    ],
)  # fmt: skip
def test_an_argument_that_cannot_be_used_is_named_in_one_line(
    arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error) as caught:
        judged(**arguments)
    assert str(caught.value).startswith(text)
    assert "\n" not in str(caught.value)


def test_the_profile_replaces_that_of_the_request() -> None:
    request, truth, data = KERNEL.request(), KERNEL.truth_folder, KERNEL.read()
    assert request is not None
    outcomes = {}
    for profile in (None, *PROFILES):
        report = check(data, truth, request, profile=profile)
        assert report.profile == (profile or "header")
        outcomes[profile] = report.outcome
    assert outcomes[None] is outcomes["header"] is Outcome.CONFORMANT
    assert outcomes["bitmap"] is Outcome.NON_CONFORMANT


@pytest.mark.parametrize(
    ("name", "profile"),
    [(USER, "modern"), (CABINET, "modern"), (MACHINE, "portable"), ("cab/kernel-small", "portable")],
)
def test_without_a_request_the_profile_is_the_default_of_the_mode(name: str, profile: str) -> None:
    assert check(path_of(name)).profile == profile


def test_a_truth_of_the_other_mode_is_answered_with_the_reason() -> None:
    report = judged(truth=KERNEL.truth_folder)
    assert (report.outcome, report.reason) == (
        Outcome.NOT_A_DUMP, "a user-mode minidump; the truth describes a whole machine"
    )  # fmt: skip


def test_a_pattern_may_stand_alone() -> None:
    rules = {result.rule for result in judged(select="MDMP-*").results}
    assert rules == {result.rule for result in judged(select=["MDMP-*"]).results}
    assert rules == {result.rule for result in judged(select=iter(["MDMP-*"])).results}
    assert len(judged(select=iter(())).results) == len(judged().results)
    assert rules.isdisjoint(result.rule for result in judged(skip="MDMP-*").results)


# Threads and types.


def test_threads_share_the_results_of_a_truth() -> None:
    truth: Any = SimpleNamespace(computed={})
    wrong: list[object] = []
    interval = sys.getswitchinterval()

    def ask(start: int) -> None:
        try:
            for number in range(start, start + 4000):
                key = number * 7 % 24
                if computed_once(truth, key, lambda key=key: key) != key:  # type: ignore[misc]
                    wrong.append(key)
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert wrong == []
    assert len(truth.computed) <= 16


def test_threads_get_the_report_that_one_thread_gets() -> None:
    assert PROCESS.truth_folder is not None
    truth, data, request = load_any_truth(PROCESS.truth_folder), PROCESS.read(), PROCESS.request()
    found: list[Report] = []
    threads = [threading.Thread(target=lambda: found.append(check(data, truth, request))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [check(data, PROCESS.truth_folder, request)] * 4


def test_the_annotations_of_the_documented_names_resolve() -> None:
    for item in (check, identify, read, all_rules, Contents, Memory, Module, PhysicalPages, Report, RuleResult, Thread):
        assert typing.get_type_hints(item)
    assert Path(str(dumptruth.oracle.__file__)).with_name("py.typed").exists()
