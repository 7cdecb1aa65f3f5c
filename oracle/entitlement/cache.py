"""Keeps what was computed from a truth, so that all rules and all dumps of one target share it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from threading import Lock
from typing import TYPE_CHECKING, Final, TypeVar, cast

if TYPE_CHECKING:
    from ..truth.kernel import KernelTruth
    from ..truth.process import ProcessTruth


T = TypeVar("T")

_MAX_KEPT: Final = 16
"""Results kept for one truth. A campaign asks one truth about thousands of requests."""
_NONE: Final = object()
_LOCK: Final = Lock()
"""Held while results are added and dropped."""


def computed_once(truth: ProcessTruth | KernelTruth, key: Hashable, compute: Callable[[], T]) -> T:
    """The result of ``compute()``, or of an earlier call for the same ``truth`` and ``key``.

    The results are kept as long as the truth. If there are too many, the oldest is dropped. Threads may share a truth;
    two of them may compute the same result.
    """
    kept = truth.computed
    found: T | object = kept.get(key, _NONE)
    if found is not _NONE:
        return cast("T", found)
    result = compute()
    with _LOCK:
        kept[key] = result
        while len(kept) > _MAX_KEPT:
            del kept[next(iter(kept))]
    return result
