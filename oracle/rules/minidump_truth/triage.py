"""The effect of FILTER_TRIAGE on a context: which values survive, and what the others become.

Source: docs/format/minidump-filters.md#filter-triage-contexts.
"""

from __future__ import annotations

from typing import Final

from ...case import Case
from ...entitlement.flags import Format, effective
from ...entitlement.indirect import survivors_of
from ...readers.facts import ContextFact

FILL: Final = 0xAA
_CONTEXTS: Final = frozenset({"amd64", "x86"})
"""The architectures whose contexts are filtered."""


class Triage:
    """The filter of one request on the contexts of one target."""

    def __init__(self, case: Case) -> None:
        truth, request = case.truth, case.request
        flags = Format(0) if request is None else effective(request)
        wanted = bool(flags & Format.FILTER_TRIAGE) and not flags & Format.FULL_MEMORY
        self.active = truth is not None and wanted and case.dump.architecture in _CONTEXTS
        self._case = case

    def in_exception(self, context: ContextFact) -> bool:
        """Whether ``context`` is that of the exception, whose integer registers stay on amd64."""
        exception = self._case.dump.exception
        return exception is not None and exception.context is context

    def keeps(self, value: int) -> bool:
        """Whether a register survives, as a word of a stack does."""
        assert self._case.truth is not None
        return value in survivors_of(self._case.truth)
