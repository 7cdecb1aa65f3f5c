"""Faults of dump writers and readers that people reported in public trackers: ``check`` and ``conform`` find each.

A writer's fault is an edit of a dump of this project's writer. A reader's fault is one of ``reader_with_faults.py``.
No false alarm: the vectors ``user/beyond/newer-*``, ``sign-extended-*``, ``xstate-shape-*`` and ``wow64-*``.
"""

from __future__ import annotations

import json
import re
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from dumptruth.fixtures.app.cli import run_command
from dumptruth.fixtures.mutants.pristine import pristine
from dumptruth.fixtures.mutants.registry import BaseDump, Pristine
from dumptruth.fixtures.mutants.surgery import Surgery, put
from dumptruth.fixtures.vectors.changes import only, sign_extended, without
from dumptruth.oracle import ByteSource, Outcome, check, read_minidump

READER = Path(__file__).parent / "reader_with_faults.py"
MODULE = "ModuleList.Modules[1]"


def thread_names_with(form: str, head: str = "<I") -> Callable[[Pristine], bytes]:
    """Entries of another form: the fields ``thread id`` and ``RVA``."""

    def change(case: Pristine) -> bytes:
        edit = Surgery(case)
        count = edit.get("ThreadNames", "NumberOfThreadNames")
        paths = [f"ThreadNames.ThreadNames[{index}]" for index in range(count)]
        rows = [struct.unpack("<IQ", edit.read(path)) for path in paths]
        data = struct.pack(head, count) + b"".join(struct.pack(form, *row) for row in rows)
        at = edit.layout.size
        edit.append(data, "Moved")
        directory = edit.directory_of("ThreadNames")
        return edit.put(directory, "Location.DataSize", len(data)).put(directory, "Location.Rva", at).data

    return change


def names_of_one_byte(case: Pristine) -> bytes:
    """A name of even length is a sound string of other characters."""
    edit = Surgery(case)
    for index in range(edit.get("ThreadNames", "NumberOfThreadNames")):
        path = f"ThreadNames.ThreadNames[{index}].Name"
        text = edit.read(path)[4:-2].decode("utf-16-le").encode("ascii")
        edit.poke(path, struct.pack("<I", len(text)) + text + bytes(2))
    return edit.data


def exception_cut_behind_its_parameters(case: Pristine) -> bytes:
    edit = Surgery(case)
    size = 40 + 8 * edit.get("Exception", "ExceptionRecord.NumberParameters")
    return edit.put(edit.directory_of("Exception"), "Location.DataSize", size).data


def descriptor_swapped(case: Pristine) -> bytes:
    edit, path = Surgery(case), "ThreadList.Threads[0]"
    size, rva = (edit.get(path, f"ThreadContext.{name}") for name in ("DataSize", "Rva"))
    return edit.put(path, "ThreadContext", struct.pack("<II", rva, size)).data


def context_of_the_caller(case: Pristine) -> bytes:
    """A stack walk left its result in the context."""
    edit = Surgery(case)
    return edit.add("Exception.Context", "Rip", 0x60).add("Exception.Context", "Rsp", 0x28).data


def code_view_of(size: int) -> Callable[[Pristine], bytes]:
    def change(case: Pristine) -> bytes:
        edit = Surgery(case)
        return (
            edit.resize(f"{MODULE}.CodeView", edit.read(f"{MODULE}.CodeView")[:24] + bytes(size - 24))
            .put(MODULE, "CvRecord.DataSize", size)
            .data
        )

    return change


def blank_headers(case: Pristine) -> bytes:
    """The first page of an image is zero in the captured memory."""
    dump = read_minidump(ByteSource(case.data))
    base = case.snapshot.modules[0].base
    (place,) = (item.offset + base - item.start for item in dump.memory if item.start <= base < item.end)
    return case.data[:place] + bytes(0x1000) + case.data[place + 0x1000 :]


class Fault(NamedTuple):
    """What ``check`` says of a writer's fault: rules that fail the dump alone, that are noted, that fail with truth."""

    report: str
    change: Callable[[Pristine], bytes]
    alone: frozenset[str] = frozenset()
    noted: frozenset[str] = frozenset()
    beside_truth: frozenset[str] = frozenset()
    base: BaseDump = BaseDump.SMALL


def rules(*names: str) -> frozenset[str]:
    return frozenset(names)


WRITERS = {
    "small-writer-without-threads": Fault(
        "2", lambda case: without(Surgery(case), streams=["ThreadList"]).data,
        noted=rules("MDMP-DIR-007"), beside_truth=rules("TRUE-STREAM-001"),
    ),
    "system-info-alone": Fault(
        "2", lambda case: only(Surgery(case), streams=["SystemInfo"]).put("Header", "Flags", 0).data,
        noted=rules("MDMP-DIR-007"), beside_truth=rules("TRUE-STREAM-001"),
    ),
    "no-service-pack-string": Fault(
        "2", lambda case: put(case, "SystemInfo", "CSDVersionRva", 0),
        noted=rules("MDMP-SYSTEM-003"), beside_truth=rules("TRUE-SYSTEM-003"),
    ),
    "thread-names-by-32-bit-rva": Fault("4", thread_names_with("<II"), alone=rules("MDMP-THREADNAMES-001")),
    "thread-names-aligned": Fault("4", thread_names_with("<IxxxxQ", "<Ixxxx"), alone=rules("MDMP-THREADNAMES-001")),
    "thread-names-of-one-byte": Fault("4", names_of_one_byte, alone=rules("MDMP-THREADNAMES-002")),
    "exception-cut": Fault("5", exception_cut_behind_its_parameters, alone=rules("MDMP-EXCEPTION-001")),
    "sign-extended": Fault(
        "6", lambda case: sign_extended(negative(case)).data,
        noted=rules("MDMP-EXCEPTION-006"), beside_truth=rules("MDMP-EXCEPTION-006"), base=BaseDump.X86_TARGET,
    ),
    "code-view-without-a-name": Fault(
        "9", code_view_of(24), noted=rules("MDMP-MODULE-007"), beside_truth=rules("MDMP-MODULE-007"),
    ),
    "code-view-of-an-empty-name": Fault("9", code_view_of(25), beside_truth=rules("TRUE-MODULE-005")),
    "guid-lost": Fault(
        "9", lambda case: Surgery(case).poke(f"{MODULE}.CodeView", bytes(16), 4).data,
        noted=rules("XCUT-MODULE-001"), beside_truth=rules("TRUE-MODULE-005"), base=BaseDump.MEMORY,
    ),
    "false-time-stamp": Fault(
        "9", lambda case: put(case, MODULE, "TimeDateStamp", 0x12345678),
        noted=rules("XCUT-MODULE-001"), beside_truth=rules("TRUE-MODULE-002"), base=BaseDump.MEMORY,
    ),
    # A program may erase its headers, so only the truth shows that the writer did.
    "blank-image-headers": Fault("9", blank_headers, beside_truth=rules("PAGE-BYTES-001"), base=BaseDump.MEMORY),
    "context-of-the-caller": Fault(
        "10", context_of_the_caller, noted=rules("XCUT-EXCEPTION-004"), beside_truth=rules("TRUE-CONTEXT-002"),
    ),
    # A dump without exception may be one of a process that hangs.
    "no-exception": Fault(
        "10", lambda case: without(Surgery(case), streams=["Exception"]).data, beside_truth=rules("TRUE-STREAM-001"),
    ),
    "descriptor-swapped": Fault("17", descriptor_swapped, alone=rules("MDMP-LAYOUT-001", "MDMP-THREAD-005")),
}  # fmt: skip


def negative(case: Pristine) -> Surgery:
    """The exception with a parameter that has bit 31."""
    edit = Surgery(case)
    return edit.poke("Exception", struct.pack("<Q", 0xC0000185), 40)


@pytest.mark.parametrize("name", WRITERS)
def test_check_finds_the_fault_of_a_writer(name: str) -> None:
    fault = WRITERS[name]
    case = pristine(fault.base)
    data = fault.change(case)
    alone = check(ByteSource(data, name))
    assert alone.outcome is (Outcome.NON_CONFORMANT if fault.alone else Outcome.CONFORMANT)
    assert {result.rule for result in alone.failing()} == fault.alone
    assert {result.rule for result in alone.results if result.findings} >= fault.alone | fault.noted
    if fault.noted:
        assert check(ByteSource(data, name), strict=True).outcome is Outcome.NON_CONFORMANT
    beside = {result.rule for result in check(ByteSource(data, name), case.truth, case.asked).failing()}
    assert beside >= (fault.beside_truth or fault.alone)


READERS = {
    # fault of the reader: number of the report, cases that must show it, and how they do
    "larger-lists-empty": ("1", ("newer-handles-entry", "newer-memory-info-header"), "misreads: "),
    "larger-lists-by-fixed-sizes": ("1", ("newer-handles-header", "newer-memory-info-entry"), "misreads: "),
    "comment-of-32-bytes": ("3", ("comment-33", "comment-150"), "misreads: comment"),
    "thread-names-by-32-bit-rva": ("4", ("newer-handles-entry",), "misreads: threads 0x1240 name"),
    "context-behind-the-parameters": ("5", ("in-page-error-amd64",), "misreads: exception_context"),
    "two-parameters": ("5", ("in-page-error-arm64",), "misreads: exception.parameters"),
    "sign-extended-parameters": ("6", ("sign-extended-address",), "misreads: exception.parameters"),
    "extended-state-at-a-fixed-place": ("7", ("xstate-shape-1647-bytes",), "misreads: registers 0x1238 ymm0"),
    "empty-pdb-name-refused": ("9", ("empty-pdb-name",), "refuses: rejected a sound dump"),
    "arm64-refused": ("13", ("in-page-error-arm64",), "refuses: rejected a sound dump"),
    "modules-by-name": ("14", ("wow64-as-64-bit-small",), "misreads: modules"),
    "registers-8-bytes-off": ("17", ("in-page-error-amd64",), "misreads: exception_context"),
    "guid-swapped": ("17", ("in-page-error-amd64",), "misreads: modules"),
    "descriptor-swapped": ("17", ("in-page-error-amd64",), "misreads: threads"),
    "names-of-260-characters": ("3", ("module-name-32767",), "misreads: modules"),
    "at-most-64-modules": ("3", ("modules-65",), "misreads: modules"),
}
ODD = ("no-thread-list", "no-module-list", "exception-without-thread-list", "system-info-alone")
"""Cases of report 2: most readers, the vendor's engine among them, refuse a dump without thread list."""


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reports") / "vectors"
    names = {f"user/beyond/{case}" for _, cases, _ in READERS.values() for case in cases}
    assert (
        run_command(["vectors", "build", str(folder), *sorted(names), *(f"user/hostile/{case}" for case in ODD)]) == 0
    )
    return folder


class Run(NamedTuple):
    status: int
    lines: list[str]
    verdicts: dict[str, str]


@pytest.fixture
def conform(vectors: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[str], Run]:
    def run(fault: str) -> Run:
        reader = f'"{sys.executable}" -I -S "{READER}" {fault}'
        results = tmp_path / "results.json"
        capsys.readouterr()
        status = run_command(
            ["conform", "--reader", reader, "--persistent", "--vectors", str(vectors), "--json", str(results)]
        )
        document = json.loads(results.read_text(encoding="utf-8"))
        verdicts = {item["case"]: item["verdict"] for item in document["results"]}
        return Run(status, capsys.readouterr().out.splitlines(), verdicts)

    return run


def test_the_reader_without_a_fault_agrees(conform: Callable[[str], Run]) -> None:
    found = conform("none")
    assert (found.status, set(found.verdicts.values())) == (0, {"agrees"})


@pytest.mark.parametrize("fault", READERS)
def test_conform_finds_the_fault_of_a_reader(conform: Callable[[str], Run], fault: str) -> None:
    _, cases, shown = READERS[fault]
    found = conform(fault)
    assert found.status == 1
    for case in cases:
        assert any(line.startswith(f"FAIL user/beyond/{case}: {shown}") for line in found.lines), found.lines


def test_a_reader_that_refuses_a_dump_without_threads_is_told_so_and_does_not_fail(
    conform: Callable[[str], Run],
) -> None:
    found = conform("thread-list-needed")
    refused = {case for case, verdict in found.verdicts.items() if verdict == "refuses"}
    assert found.status == 0
    assert refused == {f"user/hostile/{case}" for case in ODD if case != "no-module-list"}
    assert "3 refuses" in "\n".join(found.lines)


def test_a_reader_that_leaves_out_the_lists_of_a_newer_writer_is_told_so(conform: Callable[[str], Run]) -> None:
    found = conform("larger-lists-left-out")
    (told,) = (line for line in found.lines if "some dumps only" in line)
    assert found.status == 0
    assert re.search(r"handles \(\d+ of \d+\), regions ", told)
