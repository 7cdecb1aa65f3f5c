"""Reads secondary data: the chain of tagged blobs that follows a kernel dump.

Source: docs/format/kernel-secondary-data.md#secondary-data-of-a-kernel-dump.
"""

from __future__ import annotations

from ..decode import decode, structure
from ..model import Span
from .kernel_dump import BlobFact, KernelDump
from .reading import Owner

SIGNATURE = b"DumpBlob"


def read_blobs(dump: KernelDump) -> None:
    """Read the blobs if there are any, and set ``dump.tail`` to the bytes after them."""
    assert dump.primary_end is not None
    at, end = dump.primary_end, dump.source.size
    if dump.source.read(at, len(SIGNATURE)) == SIGNATURE:
        at = _read_chain(dump, at)
    dump.tail = Span(at, end)
    if dump.triage is not None and dump.blob_header is not None:
        # Windows extends the file before it writes (docs/format/kernel-small-real.md#length-of-the-file). A rule judges
        # the bytes that are left over.
        dump.claim(dump.tail, "room after the last blob", Owner.PADDING)


def _read_chain(dump: KernelDump, at: int) -> int:
    """Read the chain, and return the offset after it. It has no count and no terminator: the last blob is the one that
    no blob header follows.
    """
    head = decode(dump.source, at, "DUMP_BLOB_FILE_HEADER", "secondary data")
    if not head.complete or head["HeaderSize"] != head.structure.size:
        dump.defect(
            "kernel.blob.header",
            "secondary data",
            f"HeaderSize {head.structure.size:#x}",
            f"HeaderSize {head['HeaderSize']:#x}",
            head.span,
            loses=("blobs",),
        )
        return at
    dump.blob_header = head
    dump.claim(head.span, "secondary data")
    at = head.span.end
    size = structure("DUMP_BLOB_HEADER").size
    while True:
        record = decode(dump.source, at, "DUMP_BLOB_HEADER", f"blob {len(dump.blobs)}")
        if not record.complete or record["HeaderSize"] != size:
            break
        start = record.span.end + record["PrePad"]
        stop = start + record["DataSize"]
        end = stop + record["PostPad"]
        if end > dump.source.size:
            dump.defect(
                "kernel.blob.bounds",
                record.path,
                f"an end at most {dump.source.size:#x}",
                f"{end:#x}",
                record.span,
                loses=("blobs",),
            )
            break
        if not dump.grant(1, "blobs", "blobs"):
            break
        pads = (Span(record.span.end, start), Span(stop, end))
        dump.blobs.append(BlobFact(record, Span(start, stop), pads))
        dump.claim(Span(record.span.start, end), record.path)
        at = end
    dump.found("blobs")
    return at
