"""The cases of a conformance run: a truth to write a dump of, or a dump to read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ..truth.load import RequestTruth, Truth


class Kind(StrEnum):
    """The kind of a reader's dump; the words are those of Wycheproof."""

    VALID = "valid"
    """It conforms."""
    ACCEPTABLE = "acceptable"
    """Odd but legal."""
    INVALID = "invalid"
    """Broken."""

    @property
    def duty(self) -> Duty:
        """What a reader must do with a dump of this kind, if the case does not say."""
        return {Kind.VALID: Duty.MUST_READ, Kind.ACCEPTABLE: Duty.MAY_REJECT, Kind.INVALID: Duty.MUST_REJECT}[self]


class Duty(StrEnum):
    """What a reader must do with a dump. It must never crash or hang."""

    MUST_READ = "must-read"
    """Read it and report right facts."""
    MAY_REJECT = "may-reject"
    """Reject it, or read it and report right facts, if they are known."""
    MUST_REJECT = "must-reject"
    """Reject it. Only a strict run demands it."""


@dataclass(frozen=True, slots=True)
class LoadedTruth:
    """A truth directory and its loaded contents."""

    directory: Path
    truth: Truth
    request: RequestTruth
    document: dict[str, Any]
    """The JSON value of request.json."""


@dataclass(frozen=True, slots=True)
class WriterCase:
    name: str
    make: Callable[[], LoadedTruth]
    """Makes or finds the truth. Called by one thread at a time."""
    note: str = ""
    hresult: int | None = None
    """The HRESULT with which a writer must refuse the request; None: any failure code is right."""


@dataclass(frozen=True, slots=True)
class Dumped:
    """A dump on disk with the truth of its target. An invalid dump needs no truth."""

    file: Path
    target: LoadedTruth | None = None


@dataclass(frozen=True, slots=True)
class ReaderCase:
    name: str
    kind: Kind
    make: Callable[[], Dumped]
    """Makes or finds the dump. Called by one thread at a time."""
    rule: str | None = None
    """The rule that an invalid dump breaks."""
    note: str = ""
    """Why the dump is odd or broken."""
    duty: Duty | None = None
    """What a reader must do with it; None: what the kind says."""

    @property
    def must(self) -> Duty:
        """What a reader must do with it."""
        return self.duty or self.kind.duty
