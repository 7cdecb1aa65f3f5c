"""Tests a reader of thread lists with a folder of exported vectors: python exported_vectors_reader.py DIR"""

import contextlib
import json
import struct
import sys
from pathlib import Path


def thread_ids(data: bytes) -> list[int]:
    """The thread ids of a minidump. Raises ValueError or struct.error for any other file."""
    magic, count, directory = struct.unpack_from("<4s4xII", data)
    for at in range(directory, min(directory + 12 * count, len(data)), 12) if magic == b"MDMP" else ():
        kind, size, rva = struct.unpack_from("<III", data, at)
        if kind == 3 and 4 + 48 * struct.unpack_from("<I", data, rva)[0] <= size:  # ThreadListStream
            return [struct.unpack_from("<I", data, at)[0] for at in range(rva + 4, rva + size - 47, 48)]
    raise ValueError("no thread list")


folder, told = Path(sys.argv[1]), {"agrees": 0, "read": 0, "refused": 0}
manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
for vector in filter(lambda vector: vector["file"], manifest["vectors"]):
    sound = vector["kind"] in ("valid", "acceptable") and vector["container"] == "minidump" and vector["target"]
    found = None
    with contextlib.suppress(ValueError, struct.error):
        found = thread_ids((folder / vector["file"]).read_bytes())
    if sound:
        expected = [thread["thread_id"] for thread in manifest["targets"][vector["target"]]["facts"]["threads"]]
        assert found == expected, f"{vector['name']}: found {found}, expected {expected}: {vector['note']}"
    told["agrees" if sound else "refused" if found is None else "read"] += 1
print(json.dumps(told))
