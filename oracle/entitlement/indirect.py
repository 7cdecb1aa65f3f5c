"""The clauses for INDIRECT_MEMORY: windows around the addresses that words of the stacks hold."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from ..truth.process import IMAGE, ProcessTruth
from .flags import Format
from .pieces import Piece
from .stacks import stacks

_BEFORE, _BEHIND = 256, 768
"""Bytes before and after such an address (docs/format/minidump-captured-memory.md#indirect-memory-window)."""


def stack_words(truth: ProcessTruth, flags: Format) -> set[int]:
    """The values of all aligned words in the captured stacks."""
    size = truth.system.pointer_size
    words: set[int] = set()
    for piece in stacks(truth, flags):
        for address, data in truth.readable(piece.start, piece.end):
            start = -address % size
            whole = bytes(data[start : start + (len(data) - start) // size * size] if len(data) > start else b"")
            words.update(memoryview(whole).cast("Q" if size == 8 else "I"))
    return words


def _windows(truth: ProcessTruth, flags: Format, *, of_images: bool) -> Iterator[Piece]:
    modules = sorted((module.base, module.base + module.size) for module in truth.modules)
    bases = [base for base, _ in modules]
    for word in sorted(stack_words(truth, flags)):
        index = bisect_right(bases, word) - 1
        if index >= 0 and word < modules[index][1]:
            continue
        region = truth.region_at(word)
        if region is None or not region.readable or (region.type == IMAGE) is not of_images:
            continue
        # The window is clipped if the page before or after cannot be read.
        for address, data in truth.readable(max(word - _BEFORE, 0), word + _BEHIND):
            if address <= word < address + len(data):
                yield Piece(address, address + len(data), f"window of the stack word {word:#x}")


def windows(truth: ProcessTruth, flags: Format) -> Iterator[Piece]:
    """The windows of the stack words that point at readable memory outside images."""
    return _windows(truth, flags, of_images=False)


def windows_of_unlisted_images(truth: ProcessTruth, flags: Format) -> Iterator[Piece]:
    """The windows of the stack words that point into images that are not in the module list.

    The engine captures them; other writers need not (docs/format/minidump-captured-memory.md#indirect-memory-words).
    """
    return _windows(truth, flags, of_images=True)
