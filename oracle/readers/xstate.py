"""Reads the extended state after a CONTEXT: CONTEXT_EX, and an XSAVE area without its legacy part.

Sources: docs/format/minidump-contexts.md#extended-context-header, Intel SDM volume 1, chapter 13.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from ..decode import Record, decode, structure
from ..memory.source import ByteSource
from ..model import Span
from .facts import ContextFact

LEGACY_AREA: Final = 512
"""Bytes of an XSAVE area that the chunk in a dump lacks, because the CONTEXT itself holds them
(docs/format/minidump-contexts.md#extended-state-chunk)."""
FIRST_COMPONENT: Final = 2
COMPACTED: Final = 1 << 63
"""winnt.h XSTATE_COMPACTION_ENABLE_MASK, in CompactionMask and in EnabledFeatures."""
_LEGACY_COMPONENTS: Final = 3
# Components that are 64-byte aligned in a compacted area: Intel SDM volume 1, table 13-2, and CPUID leaf 0xD.
_ALIGNED: Final = frozenset({17, 18})
# Component -> bytes (docs/format/minidump-contexts.md#extended-state-components).
_SIZES: Final = {2: 256, 3: 64, 4: 64, 5: 64, 6: 512, 7: 1024, 9: 8, 10: 8, 11: 16, 12: 24, 17: 64, 18: 8192, 19: 128}


class XStateFact(NamedTuple):
    """A chunk of extended state that lies inside its context."""

    ex: Record
    """CONTEXT_EX."""
    chunk: Span
    header: Record
    """XSAVE_AREA_HEADER."""

    @property
    def compacted(self) -> bool:
        """Whether the chunk has the compacted format, not the standard one."""
        return bool(self.header["CompactionMask"] & COMPACTED)

    @property
    def present(self) -> int:
        """A mask of the components in the chunk that are not in their initial state."""
        return self.header["Mask"] & ~(COMPACTED | _LEGACY_COMPONENTS)

    def place(self, component: int, features: Mapping[int, tuple[int, int]]) -> Span | None:
        """The bytes of the file that hold a component. ``features``: component -> offset in the standard format, size.

        A compacted chunk may hold components that ``features`` lacks. The processor defines their sizes.
        None if the component is not in the chunk, or if the size of one before it is unknown.
        """
        sizes = {**_SIZES, **{number: size for number, (_, size) in features.items()}}
        if not self.compacted:
            if component not in features:
                return None
            at = features[component][0] - LEGACY_AREA
        else:
            if component not in sizes or not self.header["CompactionMask"] >> component & 1:
                return None
            at = self.header.structure.size
            for before in range(FIRST_COMPONENT, component + 1):
                if not self.header["CompactionMask"] >> before & 1:
                    continue
                if before in _ALIGNED:
                    at = (at + 63) & ~63
                if before == component:
                    break
                if before not in sizes:
                    return None
                at += sizes[before]
        start = self.chunk.start + at
        end = start + sizes[component]
        inside = at >= self.header.structure.size and end <= self.chunk.end
        return Span(start, end) if inside else None


def context_ex(source: ByteSource, context: ContextFact) -> Record | None:
    """The CONTEXT_EX after a context; None if the record is too short for one."""
    if len(context.extension) < structure("CONTEXT_EX").size:
        return None
    return decode(source, context.extension.start, "CONTEXT_EX", f"CONTEXT_EX of {context.record.path}")


def read_xstate(source: ByteSource, context: ContextFact) -> XStateFact | None:
    """The extended state of a context; None if there is none, or if it does not lie inside the context."""
    ex = context_ex(source, context)
    if ex is None:
        return None
    start = ex.span.start + ex["XState.Offset"]
    chunk = Span(start, start + ex["XState.Length"])
    size = structure("XSAVE_AREA_HEADER").size
    if start < ex.span.end or chunk.end > context.span.end or len(chunk) < size:
        return None
    return XStateFact(ex, chunk, decode(source, start, "XSAVE_AREA_HEADER", f"XSAVE header of {context.record.path}"))


def features_of(misc_info: Record) -> dict[int, tuple[int, int]]:
    """Component -> offset in the standard format, and size, of each component that XStateData describes."""
    values = misc_info.array("XStateData.Features")
    pairs = zip(values[::2], values[1::2], strict=True)
    return {component: (offset, size) for component, (offset, size) in enumerate(pairs) if size}
