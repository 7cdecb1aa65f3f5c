"""Accounts for every byte of a file: it belongs to one claim, or to a gap."""

from __future__ import annotations

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
    top: Claim | None = None
    overlaps: list[tuple[Claim, Claim]] = []
    overlap_total = gap_total = unclaimed = 0
    gaps: list[Span] = []
    padding: list[Claim] = []

    def gap(start: int, end: int) -> None:
        nonlocal gap_total, unclaimed
        span = Span(start, end)
        if end - start <= max_padding and not any(dump.source.view(start, end - start)):
            padding.append(Claim(span, "padding", Owner.PADDING))
            return
        gap_total += 1
        unclaimed += end - start
        if len(gaps) < SHOWN:
            gaps.append(span)

    previous: Claim | None = None
    for claim in sorted(dump.claims, key=lambda claim: (claim.span.start, claim.span.end)):
        if previous is not None and claim.shared and previous.shared and claim.span == previous.span:
            continue
        previous = claim
        regions += 1
        if top is None or claim.span.start >= top.span.end or claim.span.start == top.span.end - top.tail:
            if claim.span.start > covered:
                gap(covered, claim.span.start)
        else:
            overlap_total += 1
            if len(overlaps) < SHOWN:
                overlaps.append((top, claim))
        if top is None or claim.span.end > top.span.end:
            top = claim
        covered = max(covered, claim.span.end)
    if covered < dump.source.size:
        gap(covered, dump.source.size)
    dump.claims.extend(padding)
    return Accounting(
        dump.source.size - unclaimed, tuple(overlaps), overlap_total, tuple(gaps), gap_total, unclaimed, regions
    )
