"""What every container asks of its bytes: that no two things want the same ones."""

from __future__ import annotations

from ..readers.reading import Accounting
from ..rule import Checks, bad, ok


def overlaps(accounting: Accounting) -> Checks:
    """Each pair of regions that overlap, as far as they were kept; then how many more there are."""
    for first, second in accounting.overlaps:
        yield bad(second.label, f"bytes behind {first.label} ({first.span})", str(second.span), first.span, second.span)
    hidden = accounting.overlap_total - len(accounting.overlaps)
    if hidden:
        yield bad("further regions", "no overlap", f"{hidden} more")
    if accounting.regions > accounting.overlap_total:
        yield ok("regions", accounting.regions - accounting.overlap_total)
