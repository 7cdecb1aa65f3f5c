"""What a rule is given: the dump, and, for a dump of one's own, the truth and the request it must answer to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from .entitlement.refusal import refusal
from .entitlement.user import Entitlement
from .readers.cab_facts import Cabinet
from .readers.facts import Dump
from .readers.kernel_dump import KernelDump
from .readers.reading import Reading
from .readers.userdump_facts import UserDump

if TYPE_CHECKING:
    from .truth.kernel import KernelTruth
    from .truth.load import ProcessTruth, RequestTruth, Truth


@dataclass(frozen=True, slots=True)
class Replayed:
    """What happened when the dump alone was loaded into a fresh machine and run from its exception's context."""

    code: int | None
    """NTSTATUS of the exception met; None when none was."""
    address: int | None
    information: tuple[int, ...] = ()
    error: str | None = None
    """Why the dump could not be loaded or run, in one line."""


Replayer = Callable[[Dump], Replayed]
"""Given by the caller, because the judge owns no machine."""

KernelReplayer = Callable[[KernelDump], Replayed]
"""The same for a complete kernel dump: ``code`` is then the vector of the processor exception met, ``address`` the
instruction pointer, ``information`` what the processor said with it: error code and, for a page fault, Cr2."""


@dataclass(frozen=True)
class Case:
    dump: Dump
    truth: ProcessTruth | None = None
    """None: a foreign dump. Only structural rules run."""
    request: RequestTruth | None = None
    replay: Replayer | None = None
    profile: str = "modern"

    @cached_property
    def refused(self) -> str | None:
        """Why no minidump may come of the request. Only of a case that has a truth and a request."""
        assert self.truth is not None
        assert self.request is not None
        return refusal(self.truth, self.request)

    @cached_property
    def entitlement(self) -> Entitlement:
        """What the request entitles the dump to. Only of a case that has a truth and a request."""
        assert self.truth is not None
        assert self.request is not None
        return Entitlement(self.truth, self.request)


@dataclass(frozen=True, slots=True)
class KernelCase:
    dump: KernelDump
    truth: KernelTruth | None = None
    """None: a foreign dump. Only structural rules run."""
    request: RequestTruth | None = None
    replay: KernelReplayer | None = None
    profile: str = "portable"


@dataclass(frozen=True, slots=True)
class UserdumpCase:
    """A legacy full user dump."""

    dump: UserDump
    truth: ProcessTruth | None = None
    """None: a foreign dump. Only structural rules run."""
    request: RequestTruth | None = None
    profile: str = "modern"


@dataclass(frozen=True, slots=True)
class CabinetCase:
    """A cabinet. The dump inside is a case of its own."""

    dump: Cabinet
    truth: Truth | None = None
    request: RequestTruth | None = None


@dataclass(frozen=True, slots=True)
class FileCase:
    """The file as it lies on the disk, of whatever kind."""

    dump: Reading
    truth: Truth | None = None
    request: RequestTruth | None = None


AnyCase = Case | KernelCase | UserdumpCase | CabinetCase | FileCase
