"""Keeps what was computed from a truth, so that all rules and all dumps of one target share it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final, TypeVar

from ..truth.kernel import KernelTruth
from ..truth.process import ProcessTruth

T = TypeVar("T")

_MAX_KEPT: Final = 16
"""Results kept for one truth. A campaign asks one truth about thousands of requests."""


def computed_once(truth: ProcessTruth | KernelTruth, key: Hashable, compute: Callable[[], T]) -> T:
    """The result of ``compute()``, or of an earlier call for the same ``truth`` and ``key``.

    The results are kept as long as the truth. If there are too many, the oldest is dropped.
    """
    kept = truth.computed
    if key not in kept:
        if len(kept) >= _MAX_KEPT:
            del kept[next(iter(kept))]
        kept[key] = compute()
    result: T = kept[key]
    return result
