"""Judges the sizes of list headers and list entries in a dump that is judged against truth."""

from __future__ import annotations

from typing import Final

from ...case import Case
from ...decode import structure
from ...model import Grade, Level, Source
from ...readers.container import stream_name
from ...rule import Checks, bad, ok, own, rule

# Stream -> the structures that its entries have been since Windows XP.
_ENTRIES: Final = {
    12: ("MINIDUMP_HANDLE_DESCRIPTOR", "MINIDUMP_HANDLE_DESCRIPTOR_2"),
    14: ("MINIDUMP_UNLOADED_MODULE",),
    16: ("MINIDUMP_MEMORY_INFO",),
    17: ("MINIDUMP_THREAD_INFO",),
    18: ("AVRF_HANDLE_OPERATION",),
}


@rule(
    "TRUE-LIST-001",
    "Lists that store their own sizes store those of the published structures",
    Level.MUST,
    Source("docs/format/minidump-threads.md#size-of-the-thread-info-list", Grade.WITNESSED, versions=("29507",)),
    Source("docs/format/minidump-modules.md#size-of-the-unloaded-module-list", Grade.WITNESSED, versions=("29507",)),
    Source("docs/format/minidump-handles.md#size-of-handle-data", Grade.WITNESSED, versions=("29507",)),
    applies=own,
)
def list_sizes(case: Case) -> Checks:
    """Header and entries of these lists may grow, so a reader must use the stored sizes. No version has written larger
    ones. rust-minidump and Breakpad refuse them. The truth has nothing for the additional bytes, so nobody judges them.
    """
    for number, names in _ENTRIES.items():
        head = case.dump.headers.get(number)
        if head is None:
            continue
        first, second = list(head.structure.fields)[:2]
        accepted = {first: (head.structure.size,), second: tuple(structure(name).size for name in names)}
        for field, sizes in accepted.items():
            subject = f"{stream_name(number)}, {field}"
            if head[field] in sizes:
                yield ok(subject)
            else:
                yield bad(subject, tuple(str(size) for size in sizes), str(head[field]), head.span_of(field))
