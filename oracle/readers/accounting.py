"""Accounts for every byte of a file: it belongs to one claim, or to a gap."""

from __future__ import annotations

from operator import itemgetter

from ..model import Span
from .reading import Accounting, Claim, Owner, Reading

MAX_PADDING = 16
"""Bytes. A run of at most so many zeros between two claims is padding (docs/format/minidump-container.md#gaps)."""
SHOWN = 20
"""How many overlaps and gaps are kept."""


def account(dump: Reading, max_padding: int = MAX_PADDING) -> Accounting:
    """Sweep over the claims in file order, and find overlaps and gaps. Padding is added to the claims.

    ``max_padding`` is in bytes; a longer run of zeros is a gap.
    """
    regions = 0
    covered = 0
    overlaps: list[tuple[Claim, Claim]] = []
    overlap_total = gap_total = unclaimed = 0
    gaps: list[Span] = []
    padding: list[Claim] = []

    def gap(start: int, end: int) -> None:
        nonlocal gap_total, unclaimed
        if end - start <= max_padding and not any(dump.source.view(start, end - start)):
            padding.append(Claim(start, end, "padding", Owner.PADDING))
            return
        gap_total += 1
        unclaimed += end - start
        if len(gaps) < SHOWN:
            gaps.append(Span(start, end))

    previous = top = Claim(0, 0, "")
    for claim in sorted(dump.claims, key=itemgetter(0, 1)):
        start, end = claim.start, claim.end
        if claim.shared and previous.shared and start == previous.start and end == previous.end:
            continue
        previous = claim
        regions += 1
        if start >= top.end or start == top.end - top.tail:
            if start > covered:
                gap(covered, start)
        else:
            overlap_total += 1
            if len(overlaps) < SHOWN:
                overlaps.append((top, claim))
        if end > top.end:
            top = claim
        covered = max(covered, end)
    if covered < dump.source.size:
        gap(covered, dump.source.size)
    dump.claims.extend(padding)
    return Accounting(
        dump.source.size - unclaimed, tuple(overlaps), overlap_total, tuple(gaps), gap_total, unclaimed, regions
    )
