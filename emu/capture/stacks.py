"""Names the frames of recorded call stacks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from ..machine.shadow_stack import Entered, Frame
from ..snapshot.stack import StackFrame
from ..symbols import Pdb


@dataclass(frozen=True, slots=True)
class Placed:
    """An image in memory, with its PDB if one was found."""

    name: str
    base: int
    pdb: Pdb | None


Covering = Callable[[int], Placed | None]
"""The image that contains an address."""


def named(frames: Iterable[Frame], covering: Covering) -> tuple[StackFrame, ...]:
    """The frames with their modules and functions."""
    found = []
    returned = False  # whether the instruction follows a call, which may be the last one of its function
    for frame in frames:
        found.append(_named(frame, covering, int(returned)))
        returned = frame.entered is Entered.CALL
    return tuple(found)


def _named(frame: Frame, covering: Covering, back: int) -> StackFrame:
    ip = frame.instruction_pointer
    image = covering(ip - back)
    function = None if image is None or image.pdb is None else image.pdb.at(ip - back - image.base)
    # The code that was called begins at the entry. A name that lies before it is that of another function.
    if image is not None and function and frame.entry and function.rva + image.base < frame.entry <= ip - back:
        function = None
    return StackFrame(
        instruction_pointer=ip,
        stack_pointer=frame.stack_pointer,
        entered=str(frame.entered),
        entry=frame.entry,
        module=None if image is None else image.name,
        module_offset=None if image is None else ip - image.base,
        function=None if function is None else function.name,
        function_offset=None if image is None or function is None else ip - image.base - function.rva,
    )


def in_order(images: Mapping[tuple[int, int], Placed]) -> Covering:
    """Finds images by (base, end)."""

    def covering(address: int) -> Placed | None:
        return next((image for (base, end), image in images.items() if base <= address < end), None)

    return covering
