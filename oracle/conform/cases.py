"""The cases of a conformance run: a truth to write a dump of, or a dump to read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from ..truth.load import RequestTruth, Truth


class Kind(StrEnum):
    """The expected treatment of a dump by a reader; the words are those of Wycheproof."""

    VALID = "valid"
    """A reader must read it, and report right facts."""
    ACCEPTABLE = "acceptable"
    """Odd but legal. A reader may reject it; if it reads the dump, its facts must be right."""
    INVALID = "invalid"
    """Broken. A reader must reject it, or read it without a crash."""


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
    visible: bool = True
    """Whether a broken dump can be recognised without the truth."""
