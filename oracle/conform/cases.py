"""What a command is asked: a truth to write a dump of, or a dump to read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ..truth.load import RequestTruth, Truth


class Kind(StrEnum):
    """What a dump is to a reader, in the words of Wycheproof."""

    VALID = "valid"
    """It has to be read, and rightly."""
    ACCEPTABLE = "acceptable"
    """Odd but legal: it may be rejected; when it is read, then rightly."""
    INVALID = "invalid"
    """Broken: it is to be rejected, or to be read without harm."""


@dataclass(frozen=True, slots=True)
class LoadedTruth:
    """A truth on disk, and loaded."""

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
    """With which a request has to be refused, where that is decided."""


@dataclass(frozen=True, slots=True)
class Dumped:
    """A dump on disk, with the truth that it is of; an invalid one needs none."""

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
    """Why it is odd or broken."""
    visible: bool = True
    """Whether a broken dump shows by itself that it is; other faults are seen beside the truth alone."""
