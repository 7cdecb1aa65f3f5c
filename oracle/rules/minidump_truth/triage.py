"""The effect of FILTER_TRIAGE on a context: which values survive, and what the others become.

Source: docs/format/minidump-filters.md#filter-triage-contexts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...case import Case
from ...entitlement.flags import Format, effective
from ...readers.facts import ContextFact

if TYPE_CHECKING:
    from ...truth.context import ThreadContextTruth

FILL: Final = 0xAA
"""The byte that FILTER_TRIAGE writes (docs/format/minidump-filters.md#filter-triage-stack-words). FILTER_MEMORY writes
zeros."""


class Triage:
    """The filter of one request on the contexts of one target."""

    def __init__(self, case: Case) -> None:
        from ...entitlement.survival import FILTERED  # noqa: PLC0415 - as below

        truth, request = case.truth, case.request
        flags = Format(0) if request is None else effective(request)
        wanted = bool(flags & Format.FILTER_TRIAGE) and not flags & Format.FULL_MEMORY
        self.active = truth is not None and wanted and case.dump.architecture in FILTERED
        self._case = case
        threads = () if truth is None else truth.threads
        self._threads = {id(thread.context): index for index, thread in enumerate(threads)}
        """Index of the thread of each context."""

    def in_exception(self, context: ContextFact) -> bool:
        """Whether ``context`` is that of the exception, whose integer registers stay on amd64."""
        exception = self._case.dump.exception
        return exception is not None and exception.context is context

    def keeps(self, name: str, value: int, context: ThreadContextTruth) -> bool | None:
        """Whether a register of a thread's ``context`` survives; None if no measurement tells."""
        # Only dumps with a truth need the entitlement.
        from ...entitlement.survival import FILTERED, survival_of  # noqa: PLC0415

        truth, request = self._case.truth, self._case.request
        assert truth is not None
        assert request is not None
        if name in FILTERED[truth.system.architecture]:
            return survival_of(truth, request).keeps(value, self._threads[id(context)])
        if truth.system.architecture == "x86" and name == "EFlags":
            return {"e15063": True, "e29507": False}.get(request.contract)
        return True
