"""Reads a list of known failures, and applies it to results. A listed case must still fail."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NoReturn

from .results import CaseResult, Verdict


class ExpectationsError(Exception):
    """The file is not a list of known failures. The text is one line: where, what was expected."""


@dataclass(frozen=True, slots=True)
class KnownFailure:
    case: str
    """A pattern of case names."""
    reason: str
    verdict: Verdict | None = None
    """The expected verdict; None: any failure."""


@dataclass(frozen=True, slots=True)
class KnownFailures:
    entries: tuple[KnownFailure, ...] = ()

    def settle(self, result: CaseResult) -> CaseResult:
        """``result`` with its ``known``, ``mended`` and ``details`` set by the first entry that matches the case."""
        entry = next((entry for entry in self.entries if fnmatchcase(result.case, entry.case)), None)
        if entry is None or result.verdict is Verdict.SKIPPED:
            return result
        if result.ok:
            mended = f"mended: remove {entry.case!r} from the known failures"
            return result.but(ok=False, mended=True, details=(mended,))
        if entry.verdict not in (None, result.verdict):
            return result.but(
                details=(f"expected the known verdict {entry.verdict}, found {result.verdict}", *result.details)
            )
        return result.but(known=entry.reason)

    def unmatched(self, cases: list[str]) -> list[str]:
        """The patterns that match none of ``cases``."""
        return [entry.case for entry in self.entries if not any(fnmatchcase(case, entry.case) for case in cases)]


def load_known_failures(path: Path) -> KnownFailures:
    """Read a TOML file of tables ``[[known]]`` with ``case``, ``reason`` and optionally ``verdict``.

    Raises ExpectationsError for other contents and OSError if the file cannot be read.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ExpectationsError(f"{path.name}: not TOML: {error}") from error
    entries = document.pop("known", [])
    if document or not isinstance(entries, list):
        _fail(path, "the file", "only tables [[known]]")
    return KnownFailures(tuple(_entry(path, index, entry) for index, entry in enumerate(entries)))


def _entry(path: Path, index: int, entry: Any) -> KnownFailure:
    where = f"known[{index}]"
    if not isinstance(entry, dict) or set(entry) - {"case", "reason", "verdict"}:
        _fail(path, where, "the members case, reason and verdict")
    for name in ("case", "reason"):
        if not isinstance(entry.get(name), str) or not entry[name].strip():
            _fail(path, f"{where}.{name}", "text")
    verdict = entry.get("verdict")
    failing = [str(value) for value in Verdict if value not in (Verdict.AGREES, Verdict.SKIPPED)]
    if verdict is not None and verdict not in failing:
        _fail(path, f"{where}.verdict", " or ".join(failing))
    return KnownFailure(entry["case"], entry["reason"], None if verdict is None else Verdict(verdict))


def _fail(path: Path, where: str, expected: str) -> NoReturn:
    raise ExpectationsError(f"{path.name}: {where}: expected {expected}")
