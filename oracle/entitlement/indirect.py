"""What the words of the stacks point at: INDIRECT_MEMORY."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from ..truth.process import IMAGE, ProcessTruth
from .flags import Format
from .pieces import Piece
from .stacks import stacks

_BEFORE, _BEHIND = 256, 768
"""Bytes around the address that a word holds: spec user-mode 2.4, 356 of 356 words of two real dumps."""


def stack_words(truth: ProcessTruth, flags: Format) -> set[int]:
    """Every aligned word of every captured stack."""
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
        # Clipped at a page boundary where the page before or after cannot be read.
        for address, data in truth.readable(max(word - _BEFORE, 0), word + _BEHIND):
            if address <= word < address + len(data):
                yield Piece(address, address + len(data), f"window of the stack word {word:#x}")


def windows(truth: ProcessTruth, flags: Format) -> Iterator[Piece]:
    """The window of each stack word that points at readable memory outside all images."""
    return _windows(truth, flags, of_images=False)


def windows_of_unlisted_images(truth: ProcessTruth, flags: Format) -> Iterator[Piece]:
    """The same of words into images that no module list has: whether they count is not known (spec user-mode 6)."""
    return _windows(truth, flags, of_images=True)
