"""The tables of names: codes have names, parameters have meanings, builds have systems, habits have writers."""

from __future__ import annotations

from typing import Any

import pytest
from dumptruth.oracle.citations import cited
from dumptruth.oracle.decode import enumeration
from dumptruth.oracle.identity import systems
from dumptruth.oracle.identity.crashes import exception_of
from dumptruth.oracle.identity.explain import explain_bug_check, explain_exception, explain_foreign
from dumptruth.oracle.identity.places import Places
from dumptruth.oracle.identity.tables import names, numbered, toml
from dumptruth.oracle.identity.writers import writer_of
from dumptruth.oracle.model import Grade, Source

MET = (
    0xA, 0x19, 0x1A, 0x1E, 0x24, 0x3B, 0x4E, 0x50, 0x7A, 0x7E, 0x7F, 0x8E, 0x9F, 0xA0, 0xBE, 0xC1, 0xC2, 0xC4, 0xC5,
    0xC9, 0xCE, 0xD1, 0xD5, 0xDA, 0xE2, 0xEF, 0xF4, 0xF7, 0xFC, 0x101, 0x109, 0x10D, 0x111, 0x113, 0x116, 0x117, 0x119,
    0x124, 0x12B, 0x133, 0x139, 0x13A, 0x13B, 0x14F, 0x154, 0x161, 0x18B, 0x1CA, 0xC000021A,
)  # fmt: skip
"""Bug checks that people meet."""
TABLES = ("bug_checks", "exceptions", "fast_fails", "systems", "writers")
EXECUTED = Places([(0x1000, 0x1000, "driver.sys")]).locate


def choices(table: str) -> set[str]:
    return set(toml(table)["choices"]) | {"status", "fast-fail", "code"}


@pytest.mark.parametrize("table", TABLES)
def test_each_table_cites_a_section_that_holds_its_evidence(table: str) -> None:
    rows = toml(table)
    section = cited(rows["source"])
    assert section is not None
    if "grade" in rows:
        grade = Source(rows["source"], Grade(rows["grade"])).grade
        assert grade.lower() in section.text


def test_each_habit_has_a_grade_and_names_a_known_stream_or_a_trait() -> None:
    vendor, own = enumeration("VENDOR_STREAM_TYPE"), enumeration("MINIDUMP_STREAM_TYPE")
    for kind in ("minidump", "kernel-dump", "userdump"):
        for part in toml("writers")[kind].values():
            for row in part:
                Source("docs/format/crash-names.md", Grade(row["grade"]), tuple(row.get("versions", ())))
                known = {*vendor.members.values(), *own.members.values(), 0x10000}
                assert row["stream"] in known if "stream" in row else row["trait"] and row["pattern"]


def test_every_name_of_the_headers_is_found() -> None:
    assert (len(names("bugcodes")), len(names("ntstatus"))) == (557, 3010)
    assert names("bugcodes")[0x50] == "PAGE_FAULT_IN_NONPAGED_AREA"
    assert names("ntstatus")[0xC0000374] == "STATUS_HEAP_CORRUPTION"


@pytest.mark.parametrize("code", MET, ids=hex)
def test_each_bug_check_that_people_meet_has_a_name_a_meaning_and_four_parameters(code: int) -> None:
    told = explain_bug_check(code, (1, 2, 3, 4), EXECUTED)
    assert told.name == names("bugcodes")[code]
    assert told.meaning
    assert all(item.meaning for item in told.parameters)


def test_each_row_of_the_bug_checks_is_well_formed() -> None:
    for code, row in numbered("bug_checks").items():
        assert code in names("bugcodes"), hex(code)
        texts = list(row["parameters"])
        assert len(texts) == 4
        assert (row.get("selector") is None) == ("cases" not in row)
        for case in row.get("cases", {}).values():
            assert 1 <= len(case) <= 4
            texts += case[1:]
        roles = {text.partition(" @")[2] for text in texts} - {""}
        assert roles <= choices("bug_checks"), hex(code)


def test_each_exception_has_a_name_from_one_table_only() -> None:
    for code, row in numbered("exceptions", "codes").items():
        assert ("name" in row) != (code in names("ntstatus")), hex(code)
        roles = {text.partition(" @")[2] for text in row.get("parameters", ())} - {""}
        assert roles <= choices("exceptions"), hex(code)


def test_a_selecting_parameter_chooses_the_meaning_of_the_others() -> None:
    told = explain_bug_check(0x9F, (3, 0xA, 0xB, 0xC), EXECUTED)
    assert told.parameters[0].value_name == "a device object blocked a power request for too long"
    assert [item.meaning for item in told.parameters[1:]] == [
        "physical device object", "functional device object, or TRIAGE_9F_POWER", "blocked IRP",
    ]  # fmt: skip
    last = explain_bug_check(0xC1, (0xA, 0xB, 0xC, 0x24), EXECUTED)
    assert last.parameters[3].value_name == "bytes after the freed block are overwritten"
    assert last.parameters[0].meaning == "address that is freed"


def test_a_bug_check_of_a_small_dump_means_the_same_without_its_bit() -> None:
    told = explain_bug_check(0x1000007E, (0xFFFFFFFFC0000005, 0x1234, 0, 0), EXECUTED)
    assert told.name == "SYSTEM_THREAD_EXCEPTION_NOT_HANDLED_M"
    assert told.parameters[0].value_name == "STATUS_ACCESS_VIOLATION"
    assert (told.instruction, told.parameters[1].location) == (2, "driver.sys+0x234")


@pytest.mark.parametrize(
    ("code", "values", "name", "shown"),
    [
        (0xC0000005, (0, 0x10), "STATUS_ACCESS_VIOLATION", "read"),
        (0xC0000005, (8, 0x10), "STATUS_ACCESS_VIOLATION", "execute (data execution prevention)"),
        (0xC0000006, (1, 0x10, 0xC000009C), "STATUS_IN_PAGE_ERROR", "write"),
        (0xC0000409, (3,), "STATUS_STACK_BUFFER_OVERRUN", "FAST_FAIL_CORRUPT_LIST_ENTRY: a LIST_ENTRY is corrupt,"),
        (0xE06D7363, (0x19930520, 1, 2, 3), "C++ exception", "Visual C++"),
        (0xE0434352, (0x80131500,), "CLR exception", None),
        (0x0EEDFADE, (1, 2), "Delphi exception", None),
        (0xC0000008, (4,), "STATUS_INVALID_HANDLE", None),
    ],
)
def test_exceptions_are_explained(code: int, values: tuple[int, ...], name: str, shown: str | None) -> None:
    told = explain_exception(code, values, EXECUTED)
    assert told.name == name
    assert told.meaning
    value_name = told.parameters[0].value_name
    assert value_name == shown or (shown is not None and value_name is not None and value_name.startswith(shown))


def test_the_status_of_an_in_page_error_has_its_name() -> None:
    told = explain_exception(0xC0000006, (0, 0x10, 0xC000009C), EXECUTED)
    assert told.parameters[2].value_name == "STATUS_DEVICE_DATA_ERROR"


def test_an_unknown_code_keeps_its_parameters() -> None:
    told = explain_exception(0x12345678, (0x1010, 2), EXECUTED)
    assert (told.name, told.meaning) == (None, None)
    assert [(item.value, item.location) for item in told.parameters] == [(0x1010, "driver.sys+0x10"), (2, None)]


def test_signals_and_mach_exceptions_have_names() -> None:
    assert explain_foreign("unix", 11, (), EXECUTED).name == "SIGSEGV"
    assert explain_foreign("mach", 1, (), EXECUTED).name == "EXC_BAD_ACCESS"
    assert explain_foreign("mach", 0, (10, 0x6000000, 0), EXECUTED).name == "EXC_CRASH"


@pytest.mark.parametrize(
    ("version", "build", "product", "name"),
    [
        ((10, 0), 26100, 1, "Windows 11 24H2"),
        ((10, 0), 26100, 3, "Windows Server 2025"),
        ((10, 0), 20348, 2, "Windows Server 2022"),
        ((10, 0), 17763, 3, "Windows Server 2019"),
        ((10, 0), 19045, 1, "Windows 10 22H2"),
        ((6, 1), 7601, 1, "Windows 7 SP1"),
        ((6, 1), 7601, 3, "Windows Server 2008 R2 SP1"),
        ((5, 1), 2600, 1, "Windows XP"),
        ((10, 0), 27842, 1, "Windows 11, build 27842"),
        ((10, 0), 27842, 3, "Windows Server, build 27842"),
        ((10, 0), 11000, 1, "Windows 10, build 11000"),
        ((7, 7), 7, 1, None),
    ],
)
def test_windows_is_named_by_build_and_product(
    version: tuple[int, int], build: int, product: int, name: str | None
) -> None:
    assert systems.windows(version, build, product) == name


def test_the_kernel_of_a_build_names_all_systems_that_share_it() -> None:
    assert systems.windows(None, 19041, 1, kernel=True) == "Windows 10 2004 to 22H2"
    assert systems.windows(None, 9600, 3, kernel=True) == "Windows Server 2012 R2"
    assert systems.windows(None, 27842, 1, kernel=True) == "Windows 11, build 27842"
    assert systems.windows(None, 0, 1, kernel=True) is None


@pytest.mark.parametrize(
    ("kind", "traits", "streams", "writer"),
    [
        ("minidump", {"DbgBldStr": "dbgcore.amd64,10.0.17134.1"}, (), ("dbgcore 10.0.17134.1", None)),
        ("minidump", {"Version, high word": "0x5128: library 5.1, low byte 0x28"}, (), ("dbghelp 5.1", None)),
        ("minidump", {"Version, high word": "0: not a library of Microsoft"}, (), (None, None)),
        ("minidump", {}, (0x43500001, 0x47670001), ("Crashpad", "a Breakpad client")),
        ("minidump", {}, (0x47670001,), ("Breakpad", None)),
        ("minidump", {}, (0x4C4C4442,), ("LLDB", None)),
        ("minidump", {"strings": "without NUL"}, (0x47670003,), ("minidump-writer (Rust)", None)),
        (
            "minidump",
            {"DbgBldStr": "dbghelp.amd64,10.0.19041.1", "comment": "\n*** procdump -ma 1\n*** Manual dump"},
            (),
            ("dbghelp 10.0.19041.1", "ProcDump"),
        ),
        ("kernel-dump", {"DumpType": "10"}, (), ("dbgeng 29507 or newer", None)),
        ("kernel-dump", {"DumpType": "1"}, (), (None, None)),
        ("kernel-dump", {"DumpType": "1", "comment": "Hello from elf2dmp!"}, (), ("elf2dmp (QEMU)", None)),
        ("kernel-dump", {"DumpType": "5"}, (), ("the Windows kernel", None)),
    ],
)  # fmt: skip
def test_habits_tell_the_writer(
    kind: str, traits: dict[str, str], streams: tuple[int, ...], writer: tuple[str | None, str | None]
) -> None:
    told = writer_of(kind, traits, streams)
    assert (told.name, told.asked_by) == writer
    assert told.evidence or not traits


def test_an_address_belongs_to_the_last_module_that_begins_before_it() -> None:
    places = Places(
        [(0x1000, 0x1000, "a.exe"), (0x8000_0000, 0x100, "high.dll")], [(0x1800, 0x4000, "gone.dll")], 0xFFFF_FFFF
    )
    found = [places.locate(address) for address in (0xFFF, 0x1000, 0x1FFF, 0x2000, 0x5800, 0xFFFF_FFFF_8000_0010)]
    assert found == [None, "a.exe+0x0", "a.exe+0xfff", "<unloaded> gone.dll+0x800", None, "high.dll+0x10"]


def test_a_dump_without_an_exception_has_no_crash() -> None:
    class Nothing:
        exception = None

    nothing: Any = Nothing()
    assert exception_of(nothing, Places([])) is None
