"""Reads a list of known failures, and applies it to results. A listed case must still fail."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NoReturn

from ..memory.regular_file import read_regular
from .catalog import catalog
from .results import NO_VERDICTS, CaseResult, Verdict


class ExpectationsError(Exception):
    """The file is not a list of known failures. The text is one line: where, what was expected."""


@dataclass(frozen=True, slots=True)
class KnownFailure:
    case: str
    """A pattern of case names."""
    reason: str
    verdict: Verdict | None = None
    """The expected verdict; None: any failure."""
    facts: tuple[str, ...] = ()
    """The facts that a reader misreads: ``modules.name``, or all members of ``modules``. Empty: any fact."""

    def excuses(self, wrong: str) -> bool:
        return wrong in self.facts or wrong.partition(".")[0] in self.facts


@dataclass(frozen=True, slots=True)
class KnownFailures:
    entries: tuple[KnownFailure, ...] = ()

    def of(self, case: str) -> list[KnownFailure]:
        """The entries that count for a case: the first that matches. If that names facts, all that name facts."""
        entries = [entry for entry in self.entries if fnmatchcase(case, entry.case)]
        return [entry for entry in entries if entry.facts] if entries and entries[0].facts else entries[:1]

    def settle(self, result: CaseResult) -> CaseResult:
        """``result`` with its ``known``, ``mended`` and ``details`` set by the entries that count for its case."""
        entries = self.of(result.case)
        if not entries or result.verdict in NO_VERDICTS:
            return result
        entry = entries[0]
        if result.ok:
            mended = f"mended: remove {entry.case!r} from the known failures"
            return result.but(ok=False, mended=True, details=(mended,))
        if entry.verdict not in (None, result.verdict):
            return result.but(
                details=(f"expected the known verdict {entry.verdict}, found {result.verdict}", *result.details)
            )
        return _settled_by_facts(result, entries) if entry.facts else result.but(known=entry.reason)

    def unmatched(self, cases: list[str]) -> list[str]:
        """The patterns that match none of ``cases``."""
        return [entry.case for entry in self.entries if not any(fnmatchcase(case, entry.case) for case in cases)]


def _settled_by_facts(result: CaseResult, entries: list[KnownFailure]) -> CaseResult:
    """``result`` with ``known`` set to the reasons of its wrong facts, unless a fact has none."""
    by_fact = {wrong: next((entry for entry in entries if entry.excuses(wrong)), None) for wrong in result.wrong}
    new = [wrong for wrong, entry in by_fact.items() if entry is None]
    if new or not by_fact:
        said = f"facts that no known failure names: {', '.join(new) or 'none is wrong'}"
        return result.but(details=(said, *result.details))
    return result.but(known="; ".join(dict.fromkeys(entry.reason for entry in by_fact.values() if entry)))


def load_known_failures(path: Path) -> KnownFailures:
    """Read a TOML file of tables ``[[known]]`` with ``case``, ``reason`` and optionally ``verdict`` and ``facts``.

    Raises ExpectationsError for other contents and OSError if the file cannot be read.
    """
    try:
        document = tomllib.loads(read_regular(path).decode("utf-8"))
    except RecursionError as error:
        raise ExpectationsError(
            f"{path.name}: expected tables [[known]], found hundreds of levels of nesting"
        ) from error
    except ValueError as error:
        raise ExpectationsError(f"{path.name}: not TOML: {' '.join(str(error).split())}") from error
    entries = document.pop("known", [])
    if document or not isinstance(entries, list):
        _fail(path, "the file", "only tables [[known]]")
    return KnownFailures(tuple(_entry(path, index, entry) for index, entry in enumerate(entries)))


def _entry(path: Path, index: int, entry: Any) -> KnownFailure:
    where = f"known[{index}]"
    if not isinstance(entry, dict) or set(entry) - {"case", "reason", "verdict", "facts"}:
        _fail(path, where, "the members case, reason, verdict and facts")
    for name in ("case", "reason"):
        if not isinstance(entry.get(name), str) or not entry[name].strip():
            _fail(path, f"{where}.{name}", "text")
    verdict = entry.get("verdict")
    failing = [str(value) for value in Verdict if value not in (Verdict.AGREES, *NO_VERDICTS)]
    if verdict is not None and verdict not in failing:
        _fail(path, f"{where}.verdict", " or ".join(failing))
    facts = entry.get("facts", [])
    if facts and verdict != Verdict.MISREADS:
        _fail(path, f"{where}.verdict", f"{Verdict.MISREADS}, as it names facts")
    names = {name for fact in catalog().values() for name in (fact.name, *fact.paths)}
    if not isinstance(facts, list) or not names.issuperset(map(str, facts)):
        _fail(path, f"{where}.facts", "names of facts (docs/conform-facts.md)")
    return KnownFailure(entry["case"], entry["reason"], None if verdict is None else Verdict(verdict), tuple(facts))


def _fail(path: Path, where: str, expected: str) -> NoReturn:
    raise ExpectationsError(f"{path.name}: {where}: expected {expected}")
