"""Writes secondary data: tagged blobs after the primary dump (docs/format/kernel-secondary-data.md)."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

from ..snapshot.kernel import DataBlob
from .encode import add_struct
from .kernel_structs import DUMP_BLOB_FILE_HEADER, DUMP_BLOB_HEADER
from .layout import Section

_SIGNATURE1 = 0x706D7544  # "Dump"
_SIGNATURE2 = 0x626F6C42  # "Blob"
_BUILD_NUMBER = 0xF0000000  # BuildNumber is this plus the build


def blob_section(blobs: Sequence[DataBlob], build_number: int, *, padded: bool) -> Section:
    """Return a section with the file header and the blobs.

    With ``padded`` each blob's data is padded to a multiple of 8 bytes, as layout A does
    (docs/format/kernel-secondary-data.md#padding-of-a-blob).
    """
    section = Section("SecondaryData")
    add_struct(section, "BlobFileHeader", DUMP_BLOB_FILE_HEADER, {
        "Signature1": _SIGNATURE1,
        "Signature2": _SIGNATURE2,
        "HeaderSize": ctypes.sizeof(DUMP_BLOB_FILE_HEADER),
        "BuildNumber": _BUILD_NUMBER + build_number,
    })  # fmt: skip
    for index, blob in enumerate(blobs):
        padding = -len(blob.data) % 8 if padded else 0
        add_struct(section, f"Blobs[{index}]", DUMP_BLOB_HEADER, {
            "HeaderSize": ctypes.sizeof(DUMP_BLOB_HEADER),
            "Tag": blob.tag,
            "DataSize": len(blob.data),
            "PostPad": padding,
        }, zero=["PrePad"])  # fmt: skip
        section.add(f"Blobs[{index}].Data", "blob", blob.data)
        if padding:
            section.add(f"Blobs[{index}].PostPad", "padding", bytes(padding))
    return section
