"""Judges the kind of file against the request."""

from __future__ import annotations

from typing import Final

from ...case import FileCase
from ...model import Grade, Level, Source
from ...readers.identify import CABINET
from ...rule import Checks, bad, file_rule, ok

_WRITE_CAB: Final = 0x2000_0000
"""DEBUG_FORMAT_WRITE_CAB (docs/format/write-dump-file.md#format-flags-of-every-dump)."""


@file_rule(
    "CAB-REQUEST-001",
    "The file is a cabinet exactly if the request has WRITE_CAB",
    Level.MUST,
    Source("docs/format/write-dump-file.md#format-flags-of-every-dump", Grade.WITNESSED, versions=("15063", "29507")),
    Source("docs/format/cabinet.md#how-the-engine-makes-a-cabinet", Grade.DOCUMENTED),
    applies=lambda case: case.request is not None,
)
def wrapped(case: FileCase) -> Checks:
    """With WRITE_CAB the name in the request is the cabinet's, and the bare dump is deleted. Without it, readers expect
    a bare dump.
    """
    assert case.request is not None
    wanted, found = bool(case.request.format_flags_value & _WRITE_CAB), case.dump.kind == CABINET
    if wanted == found:
        yield ok("file")
    elif wanted:
        yield bad("file", "a cabinet, because the request has WRITE_CAB", f"a bare {case.dump.kind}")
    else:
        yield bad("file", "a bare dump, because the request lacks WRITE_CAB", "a cabinet")
