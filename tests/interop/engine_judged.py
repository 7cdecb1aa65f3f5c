"""The oracle's verdicts on dumps that the engine wrote, counted: conformant, or why not.

A rule that fails is a known error of the engine (``oracle/known_errors.py``), an artefact of Wine on the list below,
or a failure of the test.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import pytest
from dumptruth.fixtures.adapters.engine.process import Harness
from dumptruth.fixtures.replay.judging import requested
from dumptruth.oracle import Finding, Outcome, RequestTruth, Truth, Verdict, check

CONTRACTS: Final = {"15063": "e15063", "29507": "e29507"}
"""Build of dbgeng.dll -> contract that names what it does."""


def contract_of(harness: Harness) -> str:
    """The contract of the engine. Skips the test if there is none of its version."""
    if harness.build not in CONTRACTS:
        pytest.skip(f"no contract says what version {harness.version} does")
    return CONTRACTS[harness.build]


@dataclass(frozen=True)
class Artefact:
    """A finding that Wine causes (docs/format/engine.md#artefacts-of-wine)."""

    rule: str
    subject: str
    """A regular expression for the whole subject."""
    reason: str
    expected: str = ".*"
    """A regular expression for the whole text of what was expected."""

    def explains(self, finding: Finding) -> bool:
        return (
            finding.rule == self.rule
            and re.fullmatch(self.subject, finding.subject) is not None
            and re.fullmatch(self.expected, " or ".join(finding.expected)) is not None
        )


ARTEFACTS: Final = (
    Artefact("TRUE-CONTEXT-004", r"context of .*", "garbage in fields of contexts that hold no registers"),
    Artefact("TRUE-MEMORYINFO-001", r"SystemMemoryInfo, .*", "stream 21 is all zero in live dumps"),
    Artefact("TRUE-MEMORYINFO-002", r"SystemMemoryInfo, Revision", "stream 21 is all zero in live dumps"),
    Artefact("TRUE-MISC-001", r"MiscInfo, Flags1", "no protection, build string and cookie of the process"),
    Artefact(
        "PAGE-FORBIDDEN-002",
        r"memory .*",
        "NOACCESS, GUARD, reserved and free pages can be read",
        r"no bytes: state (0x10000, protect 0x1|0x2000, .*|0x1000, protect 0x1([0-9a-f]{2})?)",
    ),
    Artefact("XCUT-MEMORYINFO-001", r"memory .*", "NOACCESS, GUARD, reserved and free pages can be read"),
)
"""Of live dumps, outside Windows."""


@dataclass
class Verdicts:
    """What a run judged, and how it came out."""

    dumps: int = 0
    conformant: int = 0
    only_known: int = 0
    """Dumps in which nothing fails but known errors."""
    only_listed: int = 0
    """Dumps in which nothing fails but known errors and artefacts of Wine."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Failed checks by known error or artefact."""
    refused: Counter[str] = field(default_factory=Counter)
    """Requests that the engine refuses, as it must."""
    wrong: int = 0
    """Dumps with failures."""
    failures: list[str] = field(default_factory=list)
    """Findings that nothing explains."""

    def __str__(self) -> str:
        lines = [
            f"{self.dumps} dumps: {self.conformant} conformant, {self.only_known} with known errors of the engine "
            f"only, {self.only_listed} with these and artefacts of Wine only, {self.wrong} wrong",
            *(f"{count:6} {reason}" for reason, count in self.reasons.most_common()),
            *(f"{count:6} refused: {reason}" for reason, count in self.refused.most_common()),
        ]
        return "\n".join(lines)

    def judge(
        self, name: str, path: Path, truth: Truth, request: RequestTruth, artefacts: tuple[Artefact, ...] = ()
    ) -> None:
        """Judges one dump. ``artefacts`` are those that it may have."""
        report = check(path, truth, request)
        wrong, reasons = [], Counter[str]()
        for result in report.results:
            if result.verdict is Verdict.ERROR:
                wrong.append(f"{name}: {result.rule}: {result.note}")
            for finding in result.findings if result.counts else ():
                artefact = next((each for each in artefacts if each.explains(finding)), None)
                if finding.known is not None:
                    reasons[f"{finding.known.id}: {finding.known.title}"] += 1
                elif artefact is not None:
                    reasons[f"Wine: {artefact.reason}"] += 1
                else:
                    wrong.append(f"{name}: {finding.rule}: {finding.subject}: {finding.actual}, not {finding.expected}")
        if report.unclaimed:
            wrong.append(f"{name}: {report.unclaimed} unclaimed bytes")
        self.dumps += 1
        self.reasons += reasons
        self.failures += wrong
        if wrong:
            self.wrong += 1
        elif not reasons:
            assert report.outcome is Outcome.CONFORMANT, report.reason
            self.conformant += 1
        elif report.only_known_errors:
            self.only_known += 1
        else:
            self.only_listed += 1


def asked(qualifier: int, flags: int, contract: str, session: str) -> RequestTruth:
    """The request for a dump by the engine of a contract."""
    return replace(requested(qualifier, flags), contract=contract, session=session)
