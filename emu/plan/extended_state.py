"""Whether contexts carry the processor's extended state, AVX and the like (spec user-mode 2.4, 3.11)."""

from __future__ import annotations

from ..constants import MinidumpType
from ..snapshot.process import ProcessSnapshot, XstateConfiguration

_WITH_CONTEXT_EX = ("amd64", "x86")


def extended_state(snapshot: ProcessSnapshot, flags: MinidumpType, warnings: list[str]) -> XstateConfiguration | None:
    """The configuration that all contexts follow; None: they are plain."""
    if not flags & MinidumpType.MiniDumpWithAvxXStateContext:
        return None
    system = snapshot.system
    if system.xstate is None or system.architecture not in _WITH_CONTEXT_EX:
        warnings.append("ADD_AVX_XSTATE_CONTEXT: the target has no extended processor state; its contexts are plain")
        return None
    return system.xstate
