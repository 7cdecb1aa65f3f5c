"""``dumptruth conform --reader`` finds the known faults of released readers, and README's table says what it finds."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from dumptruth.fixtures.adapters import KERNEL_READERS, READERS
from dumptruth.fixtures.adapters.facts import Facts, ReaderFailedError
from dumptruth.fixtures.adapters.known import FAULTS, VERSIONS
from dumptruth.fixtures.cli import run_command
from dumptruth.fixtures.conformance import Workshop, reader_cases
from dumptruth.fixtures.readers_table import HEADERS_ALONE, KNOWN_FAILURES, README, known_failures, replaced
from dumptruth.oracle.conform import Verdict

MODES = dict.fromkeys(READERS, "user/*") | dict.fromkeys(KERNEL_READERS, "kernel/*") | {"file": "*"}
NOT_A_FACT = {"file-header-dump-small"}
"""Faults in what no fact of the protocol says."""
TOO_LARGE = {"volatility3": ("*bitmap*/above-4-gib", "*-large")}
"""Cases that take a reader longer than a test can wait: its bitmap is read a bit at a time."""
SLOW_TO_DIE = 6
"""Seconds for what is hostile: that there is no answer is the answer."""
CASES = [case.name for case in reader_cases(Workshop(Path()))]

Ask = Callable[..., Facts | ReaderFailedError]


@pytest.fixture
def installed(ask: Ask, tmp_path: Path) -> Callable[[str], None]:
    """Skip where a reader is not there, or is another version than the lists are about."""

    def check(reader: str) -> None:
        (tmp_path / "none.dmp").write_bytes(b"no dump")
        ask(reader, tmp_path / "none.dmp")
        if reader in ("obj2yaml", "file"):
            said = str(_version(reader))
            if VERSIONS[reader] not in said:
                pytest.skip(f"the list is about {VERSIONS[reader]}; this is {said}")

    return check


def _version(reader: str) -> str:
    program = (shutil.which("obj2yaml-19") if reader == "obj2yaml" else None) or shutil.which(reader) or reader
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout


def _run(to: Path, reader: str, *options: str) -> dict[str, Any]:
    strict = [] if reader in HEADERS_ALONE else ["--strict"]
    run_command(
        [
            *("conform", "--reader", f'"{sys.executable}" -m dumptruth.fixtures.adapters {reader}'),
            *("--known-failures", str(KNOWN_FAILURES / f"{reader}.toml"), "--memory", "512", "--persistent"),
            *(*strict, "--json", str(to), *options),
        ]
    )
    document: dict[str, Any] = json.loads(to.read_text(encoding="utf-8"))
    return document


def _representatives(reader: str) -> dict[str, Verdict]:
    """For each fault on a reader's list the first case that shows it, with its verdict."""
    entries = known_failures(reader).entries
    found: dict[str, tuple[str, Verdict]] = {}
    for name in CASES:
        if any(fnmatchcase(name, pattern) for pattern in TOO_LARGE.get(reader, ())):
            continue
        entry = next((entry for entry in entries if fnmatchcase(name, entry.case)), None)
        if entry is not None and entry.verdict is not None and entry.reason in FAULTS:
            found.setdefault(entry.reason, (name, entry.verdict))
    return dict(found.values())


@pytest.mark.parametrize("reader", MODES)
def test_a_run_finds_each_known_fault(installed: Callable[[str], None], tmp_path: Path, reader: str) -> None:
    installed(reader)
    due = _representatives(reader)
    if sys.platform in ("win32", "darwin"):  # what takes all memory may need longer to be noticed
        due = {name: verdict for name, verdict in due.items() if verdict is not Verdict.DIES}
    found: dict[str, str] = {}
    for dying in (False, True):
        cases = [name for name, verdict in due.items() if (verdict is Verdict.DIES) is dying]
        if cases:
            patterns = [word for name in cases for word in ("--case", name)]
            seconds = str(SLOW_TO_DIE if dying else 60)
            summary = _run(tmp_path / "results.json", reader, *patterns, "--timeout", seconds)
            found |= {result["case"]: result["verdict"] for result in summary["results"]}
            assert summary["known"] == len(cases), [result["details"] for result in summary["results"]]
    assert found == {name: str(verdict) for name, verdict in due.items()}


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


@pytest.mark.parametrize("reader", MODES)
def test_every_fault_of_a_reader_is_on_its_list(reader: str) -> None:
    listed = {entry.reason for entry in known_failures(reader).entries}
    of_reader = {name for name, fault in FAULTS.items() if fault.reader == reader}
    assert listed & set(FAULTS) == of_reader - NOT_A_FACT
    assert set(FAULTS) >= NOT_A_FACT


@pytest.mark.parametrize("reader", MODES)
def test_every_entry_has_a_verdict_a_reason_and_a_case_that_it_is_the_first_for(reader: str) -> None:
    entries = known_failures(reader).entries
    names = [name for name in CASES if fnmatchcase(name, MODES[reader])]
    first = {next((entry.case for entry in entries if fnmatchcase(name, entry.case)), None) for name in names}
    assert {entry.case for entry in entries} <= first
    assert all(entry.verdict is not None for entry in entries)


def test_the_table_in_readme_is_the_generated_one() -> None:
    text = README.read_text(encoding="utf-8")
    assert replaced(text) == text, "run: python -m dumptruth.fixtures.readers_table --write"


def test_there_is_a_list_for_every_reader_and_no_other() -> None:
    assert {path.stem for path in KNOWN_FAILURES.glob("*.toml")} == set(VERSIONS)
