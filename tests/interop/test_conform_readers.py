"""``dumptruth conform --reader`` finds the known faults of released readers, and docs/readers.md lists its findings."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from dumptruth.fixtures.adapters import KERNEL_READERS, READERS
from dumptruth.fixtures.adapters.engine.process import Harness
from dumptruth.fixtures.adapters.facts import Facts, ReaderFailedError
from dumptruth.fixtures.adapters.known import FAULTS, VERSIONS
from dumptruth.fixtures.app.cli import run_command
from dumptruth.fixtures.documents import findings
from dumptruth.fixtures.documents.readers import DOCUMENT, HEADERS_ALONE, KNOWN_FAILURES, document, known_failures
from dumptruth.fixtures.vectors.conform import CaseFolder
from dumptruth.oracle.conform import Verdict

MODES = (
    dict.fromkeys(READERS, "user/*")
    | dict.fromkeys(KERNEL_READERS, "kernel/*")
    | dict.fromkeys(("engine", "file"), "*")
)
TOO_LARGE = {"volatility3": ("*bitmap*/above-4-gib", "*-large")}
"""Cases that take a reader too long, since it reads the bitmap bit by bit."""
LEAST_MEMORY = {"engine": 3072}
"""MiB of address space that a reader needs to start: Wine reserves much."""
SLOW_TO_DIE = 4
"""Seconds for a hostile case. No answer in this time is the expected result."""
ACCEPTS, DIES, MISREADS, REFUSES = Verdict.ACCEPTS, Verdict.DIES, Verdict.MISREADS, Verdict.REFUSES
LISTED: tuple[tuple[str, str, str, Verdict, str], ...] = (
    # reader, its fault as docs/readers.md words it, the case that shows it, the verdict, and a part of the details
    ("udmp-parser", "reads header Flags 4 bytes too far", "user/odd/later-flag", REFUSES, "rejected a sound dump"),
    ("udmp-parser", "ignores MemoryList", "user/small/synthetic", MISREADS, "memory: 0xfa0 bytes in 5 ranges"),
    ("minidump", "ignores Version", "user/hostile/no-version", ACCEPTS, "MDMP-HEADER-002"),
    ("minidump", "truncated file: MemoryError", "user/hostile/truncated-in-the-directory", DIES, ""),
    ("minidump", "lenient on ranges", "user/hostile/range-outside", ACCEPTS, "MDMP-MEMORY-002"),
    ("obj2yaml", "exception's thread unchecked", "user/hostile/stray-exception-thread", ACCEPTS, "XCUT-EXCEPTION-001"),
    ("obj2yaml", "Memory64 ranges unchecked", "user/hostile/memory64-base", ACCEPTS, "MDMP-MEMORY64-002"),
    ("kdmp-parser", "bitmap length rounded down", "kernel/odd/bitmap-of-odd-length", MISREADS, "expected, not read"),
    ("kdmp-parser", "bytes from outside the file", "kernel/hostile/ends-inside-a-page", ACCEPTS, "KPAG-LENGTH-001"),
    ("kdmp-parser", "or SIGBUS", "kernel/hostile/truncated-kernel-bitmap", DIES, "ended by SIG"),
    ("kdmp-parser", "a huge run count takes all memory", "kernel/hostile/run-count", DIES, "MemoryError"),
    ("kdmp-parser", "one run too many: 8", "kernel/odd/runs-without-end-before-a-run", REFUSES, "Invalid kernel dump"),
    ("kdmp-parser", "and 9", "kernel/odd/runs-without-end-before-a-run-active", REFUSES, "Invalid kernel dump"),
    ("kdmp-parser", "PFN 0 ends a range list", "kernel/full-ranges/page-0", MISREADS, "the first at 0x0"),
    ("minidump", "fails on ARM64", "user/small/arm64", REFUSES, "12 is not a valid PROCESSOR_ARCHITECTURE"),
    ("volatility3", "accepts truncated files", "kernel/hostile/truncated-runs", ACCEPTS, "KPAG-LENGTH-001"),
    ("volatility3", "whole 32-bit words are read", "kernel/hostile/bits-behind-the-bitmap", MISREADS, "page_runs"),
    ("LeechCore", "unknown type: raw memory", "kernel/default-classic/above-4-gib", MISREADS, "kernel, read 'raw'"),
    ("LeechCore", "and silently", "kernel/hostile/unknown-type", ACCEPTS, "KHDR-TYPE-001"),
    ("LeechCore", "past the end: zeros", "kernel/hostile/truncated-large", ACCEPTS, "KPAG-LENGTH-001"),
    ("LeechCore", "bits after the last 64 ignored", "kernel/odd/bitmap-of-odd-length-large", MISREADS, "not read"),
    ("file", "page count printed from filler", "kernel/small/build-19041", MISREADS, "read 0x4547415045474150"),
    ("file", "a header called small", "kernel/full-header/synthetic", MISREADS, "expected header, read 'small'"),
)
"""The faults that a run must find. obj2yaml prints some streams as raw bytes: facts that a reader does not report are
not compared, so that is not listed."""
CASES = [case.name for case in CaseFolder(Path()).reader_cases()]

Ask = Callable[..., Facts | ReaderFailedError]


@pytest.fixture
def installed(ask: Ask, tmp_path: Path) -> Callable[[str], None]:
    """Skips the test where a reader is missing or has another version than its list."""

    def check(reader: str) -> None:
        (tmp_path / "none.dmp").write_bytes(b"no dump")
        ask(reader, tmp_path / "none.dmp")
        if reader == "engine" and (said := _engine()) != VERSIONS[reader]:
            pytest.skip(f"the list is about {VERSIONS[reader]}; this is {said}")
        if reader in ("obj2yaml", "file"):
            said = str(_version(reader))
            if VERSIONS[reader] not in said:
                pytest.skip(f"the list is about {VERSIONS[reader]}; this is {said}")

    return check


@cache
def _engine() -> str:
    with Harness() as harness:
        return harness.version


def _version(reader: str) -> str:
    program = (shutil.which("obj2yaml-19") if reader == "obj2yaml" else None) or shutil.which(reader) or reader
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout


def _run(to: Path, reader: str, *options: str, memory: int = 512) -> dict[str, Any]:
    strict = [] if reader in HEADERS_ALONE else ["--strict"]
    memory = max(memory, LEAST_MEMORY.get(reader, 0))
    run_command(
        [
            *("conform", "--reader", f'"{sys.executable}" -m dumptruth.fixtures.adapters {reader}'),
            *("--known-failures", str(KNOWN_FAILURES / f"{reader}.toml"), "--memory", str(memory), "--persistent"),
            *(*strict, "--json", str(to), *options),
        ]
    )
    document: dict[str, Any] = json.loads(to.read_text(encoding="utf-8"))
    return document


def _representatives(reader: str) -> dict[str, Verdict]:
    """For each fault on a reader's list the first case that shows it, and its verdict."""
    known = known_failures(reader)
    found: dict[str, tuple[str, Verdict]] = {}
    for name in CASES:
        if any(fnmatchcase(name, pattern) for pattern in TOO_LARGE.get(reader, ())):
            continue
        for entry in known.of(name):
            if entry.verdict is not None and entry.reason in FAULTS:
                found.setdefault(entry.reason, (name, entry.verdict))
    return dict(found.values())


@pytest.mark.parametrize("reader", MODES)
def test_a_run_finds_each_known_fault(installed: Callable[[str], None], tmp_path: Path, reader: str) -> None:
    installed(reader)
    listed = {case: (verdict, by) for of, _, case, verdict, by in LISTED if of == reader}
    due = _representatives(reader) | {case: verdict for case, (verdict, _) in listed.items()}
    if sys.platform in ("win32", "darwin"):  # the watchdog may need longer to see that a reader takes all memory
        due = {name: verdict for name, verdict in due.items() if verdict is not Verdict.DIES}
    found: dict[str, str] = {}
    told: dict[str, str] = {}
    for dying in (False, True):
        cases = [name for name, verdict in due.items() if (verdict is Verdict.DIES) is dying]
        if cases:
            patterns = [word for name in cases for word in ("--case", name)]
            seconds = str(SLOW_TO_DIE if dying else 60)
            memory = 256 if dying else 512  # MiB, which a reader that trusts a garbage count soon takes
            summary = _run(tmp_path / "results.json", reader, *patterns, "--timeout", seconds, memory=memory)
            found |= {result["case"]: result["verdict"] for result in summary["results"]}
            told |= {result["case"]: "\n".join(result["details"]) for result in summary["results"]}
            assert summary["known"] == len(cases), [result["details"] for result in summary["results"]]
    assert found == {name: str(verdict) for name, verdict in due.items()}
    # How a reader dies depends on the speed of the host: it takes all memory, or all of its time.
    judged = {case: by for case, (verdict, by) in listed.items() if verdict is not Verdict.DIES}
    assert {case: told[case] for case, by in judged.items() if by not in told[case]} == {}


@pytest.mark.slow
@pytest.mark.parametrize("reader", MODES)
def test_a_run_over_everything_finds_the_known_failures_and_no_other(
    installed: Callable[[str], None], tmp_path: Path, reader: str
) -> None:
    installed(reader)
    skipped = [word for pattern in TOO_LARGE.get(reader, ()) for word in ("--skip", pattern)]
    summary = _run(tmp_path / "results.json", reader, "--case", MODES[reader], *skipped, "--timeout", "60")
    failing = {
        result["case"]: result["details"] for result in summary["results"] if not result["ok"] and not result["known"]
    }
    assert failing == {}
    assert summary["judged"] == summary["cases"]
    shown = {reason for result in summary["results"] for reason in (result["known"] or "").split("; ")}
    assert {entry.reason for entry in known_failures(reader).entries} <= shown


@pytest.mark.parametrize("reader", MODES)
def test_every_fault_of_a_reader_is_on_its_list(reader: str) -> None:
    listed = {entry.reason for entry in known_failures(reader).entries}
    of_reader = {name for name, fault in FAULTS.items() if fault.reader == reader}
    assert listed & set(FAULTS) == of_reader


@pytest.mark.parametrize("reader", MODES)
def test_every_entry_has_a_verdict_and_a_case_that_it_counts_for_and_a_misread_names_facts(reader: str) -> None:
    known = known_failures(reader)
    names = [name for name in CASES if fnmatchcase(name, MODES[reader])]
    assert set(known.entries) <= {entry for name in names for entry in known.of(name)}
    assert all(entry.verdict is not None for entry in known.entries)
    assert all(bool(entry.facts) == (entry.verdict is MISREADS) for entry in known.entries)


def test_the_table_of_readers_is_the_generated_one() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == document(), "run: python -m dumptruth.fixtures.documents --write"


def test_the_findings_are_the_generated_ones_and_describe_no_fault_that_a_reader_dies_of() -> None:
    text = findings.DOCUMENT.read_text(encoding="utf-8")
    assert text == findings.document(), "run: python -m dumptruth.fixtures.documents --write"
    shown = {what for _, _, what, _ in findings.rows()}
    deadly = {
        FAULTS[entry.reason].what
        for reader in MODES
        for entry in known_failures(reader).entries
        if entry.verdict is DIES and entry.reason in FAULTS
    }
    assert len(shown) > 20
    assert not deadly & shown


def test_every_reader_has_one_list_of_known_failures() -> None:
    assert {path.stem for path in KNOWN_FAILURES.glob("*.toml")} == set(VERSIONS)
