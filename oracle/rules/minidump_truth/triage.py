"""The effect of FILTER_TRIAGE on a context: which values survive, and what the others become.

Source: docs/format/minidump-filters.md#filter-triage-contexts.
"""

from __future__ import annotations

from typing import Final

from ...case import Case
from ...entitlement.flags import Format, effective, stack_of
from ...memory.intervals import RangeSet, union
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
        self._places = RangeSet(())
        if self.active and truth is not None:
            images = ((module.base, module.base + module.size) for module in truth.modules)
            self._places = RangeSet(union((*images, *(stack_of(truth, thread) for thread in truth.threads))))

    def in_exception(self, context: ContextFact) -> bool:
        """Whether ``context`` is that of the exception, whose integer registers stay on amd64."""
        exception = self._case.dump.exception
        return exception is not None and exception.context is context

    def keeps(self, value: int) -> bool:
        """Whether a word survives: 0, a pointer into an image or a stack, or a pointer to such a pointer."""
        return value == 0 or self._points(value) or self._points(self._word(value))

    def _points(self, value: int) -> bool:
        return self._places.covers(value, value + 1)

    def _word(self, address: int) -> int:
        """The word of the target at ``address``; 0 if it cannot be read."""
        truth = self._case.truth
        assert truth is not None
        size = truth.system.pointer_size
        parts = [truth.contents.read(at, length) for _, length, at in truth.readable_runs(address, address + size)]
        data = b"".join(parts)
        return int.from_bytes(data, "little") if len(data) == size else 0
