"""The cases that rules judge: a dump, and optionally the truth of its target and the request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from .entitlement.user import Entitlement
    from .readers.cab_facts import Cabinet
    from .readers.facts import Dump
    from .readers.kernel_dump import KernelDump
    from .readers.reading import Reading
    from .readers.userdump_facts import UserDump
    from .truth.kernel import KernelTruth
    from .truth.load import ProcessTruth, RequestTruth, Truth


@dataclass(frozen=True, slots=True)
class Replayed:
    """The result of loading a dump into a fresh machine and running it from the context of its exception."""

    code: int | None
    """NTSTATUS of the exception that was raised; None if none was."""
    address: int | None
    information: tuple[int, ...] = ()
    error: str | None = None
    """Why the dump could not be loaded or run, in one line; None if it ran."""
    unable: str | None = None
    """Why nothing is known: a limit of the replay, or trouble of the host, in one line. It is no fault of the dump."""


class Replayer(Protocol):
    """Runs a minidump. The caller gives it, because the oracle has no machine."""

    def __call__(self, dump: Dump, /) -> Replayed:
        """Load and run ``dump``. Never raises on its content."""


class KernelReplayer(Protocol):
    """Runs a complete kernel dump. In its result ``code`` is the vector of the processor exception, ``address`` the
    instruction pointer, ``information`` the error code and, for a page fault, Cr2.
    """

    def __call__(self, dump: KernelDump, /) -> Replayed:
        """Load and run ``dump``. Never raises on its content."""


class Case(NamedTuple):
    """A minidump."""

    dump: Dump
    truth: ProcessTruth | None = None
    """None for a foreign dump; then only rules of the format run."""
    request: RequestTruth | None = None
    replay: Replayer | None = None

    @property
    def refused(self) -> str | None:
        """Why a writer must refuse the request; None if it must write a minidump. Needs a truth and a request."""
        # Only dumps with a truth need the entitlement.
        from .entitlement.cache import computed_once  # noqa: PLC0415
        from .entitlement.refusal import refusal  # noqa: PLC0415

        assert self.truth is not None
        assert self.request is not None
        truth, request = self.truth, self.request
        return computed_once(truth, ("refusal", request), lambda: refusal(truth, request))

    @property
    def entitlement(self) -> Entitlement:
        """What the dump must, may and must not hold. Needs a truth and a request."""
        from .entitlement.user import entitlement_of  # noqa: PLC0415

        assert self.truth is not None
        assert self.request is not None
        return entitlement_of(self.truth, self.request)


class KernelCase(NamedTuple):
    """A kernel dump."""

    dump: KernelDump
    truth: KernelTruth | None = None
    """None for a foreign dump; then only rules of the format run."""
    request: RequestTruth | None = None
    replay: KernelReplayer | None = None


class UserdumpCase(NamedTuple):
    """A legacy full user dump."""

    dump: UserDump
    truth: ProcessTruth | None = None
    """None for a foreign dump; then only rules of the format run."""
    request: RequestTruth | None = None


class CabinetCase(NamedTuple):
    """A cabinet. The dump inside is a separate case."""

    dump: Cabinet
    truth: Truth | None = None
    request: RequestTruth | None = None


class FileCase(NamedTuple):
    """The file itself, of any kind."""

    dump: Reading
    truth: Truth | None = None
    request: RequestTruth | None = None


AnyCase = Case | KernelCase | UserdumpCase | CabinetCase | FileCase
