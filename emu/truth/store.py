"""Saves a snapshot and a request as files without loss, and loads them (docs/truth-format.md)."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from ..placing import PRIVATE, inherit, take_place
from ..request import Contract, Request, Session, UserStream, format_flag_names
from ..snapshot.kernel import KernelSnapshot, PhysicalRun
from ..snapshot.process import PAGE_SIZE, MemoryRun, ProcessSnapshot
from . import rows
from .consistency import check_process
from .files import memory_size, no_collection, parse_json, read_content, read_json
from .kernel import KERNEL_SNAPSHOT, KERNEL_SNAPSHOT_LATER
from .kernel_consistency import check_machine
from .members import (
    BYTES,
    HEX,
    TEXT,
    U32,
    BadValue,
    Kind,
    Later,
    TruthError,
    at_file,
    excerpt,
    list_of,
    object_of,
    optional,
    read_members,
    word,
    write_members,
)
from .process import SNAPSHOT, SNAPSHOT_LATER
from .sparse_file import read_dense, read_run, write_run

__all__ = [
    "Snapshot",
    "TruthError",
    "load",
    "load_kernel",
    "load_named",
    "load_request",
    "load_snapshot",
    "request_document",
    "save",
    "save_request",
    "truth_document",
]  # fmt: skip

Snapshot = ProcessSnapshot | KernelSnapshot
_Data = TypeVar("_Data")

TRUTH_FILE = "truth.json"
MEMORY_FILE = "memory.bin"
REQUEST_FILE = "request.json"
SOURCE = "source"
"""Member of truth.json outside of the snapshot: the name of the scenario or program."""
IMAGE_FILES = "image_files"
"""Member of truth.json outside of the snapshot: which image files the host has may change."""

_HEAD = {"format": "dumptruth-truth", "version": 1, "mode": "user"}
_KERNEL_HEAD = {**_HEAD, "mode": "kernel"}
_BASES = list_of(HEX)
_USER_STREAMS = list_of(object_of(UserStream, {"type": U32, "data": BYTES}))
_REQUEST_HEAD = {"format": "dumptruth-request", "version": 1}
_REQUEST = {
    "qualifier": TEXT,
    "qualifier_value": U32,
    "format_flags": list_of(TEXT),
    "format_flags_value": U32,
    "comment": optional(TEXT),
    "profile": TEXT,
    "file": TEXT,
}
_REQUEST_LATER = {
    "user_streams": Later(_USER_STREAMS, (), nullable=False),
    "contract": Later(word(*Contract), Contract.DOCUMENTED, nullable=False),
    "session": Later(word(*Session), Session.LIVE, nullable=False),
}


def save(
    snapshot: Snapshot,
    directory: str | Path,
    *,
    source: str = "",
    request: Request | None = None,
    file: str = "",
    image_files: Sequence[int] | None = None,
    permissions: int | None = PRIVATE,
) -> None:
    """Write ``truth.json`` and ``memory.bin`` into ``directory``, and create it if needed.

    - ``source`` is the scenario or program, for the user.
    - ``request`` is stored in ``request.json``, with ``file``, the base name of the dump, for the user.
    - ``image_files`` are the bases of the images whose files the host has, for a cabinet; None: not known.
    - ``permissions`` are those of new files; None: those that the system gives. A replaced file keeps its own.

    All files are written next to the directory, and moved into it when they are complete. Raises TruthError when they
    cannot be written.
    """
    members = truth_document(snapshot, source)
    if image_files is not None:
        members[IMAGE_FILES] = _BASES.write(image_files)
    directory = Path(directory).absolute()
    staging = directory.parent / f".{directory.name}.saving"
    try:
        shutil.rmtree(staging, ignore_errors=True)  # left by a process that was killed
        staging.mkdir(mode=0o700, parents=True)
        try:
            with (staging / MEMORY_FILE).open("wb") as memory:
                for run in snapshot.memory:
                    write_run(memory, run.data)
            _write_json(staging / TRUTH_FILE, members)
            if request is not None:
                _write_json(staging / REQUEST_FILE, request_document(request, file))
            _move_in(staging, directory, permissions)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise TruthError(f"{directory}: cannot save the truth: {error.strerror or error}") from error


def truth_document(snapshot: Snapshot, source: str = "") -> dict[str, Any]:
    """Return ``truth.json`` of the snapshot as a document."""
    kernel = snapshot.mode == "kernel"
    offset = 0
    index: list[dict[str, str]] = []
    for run in snapshot.memory:
        if isinstance(run, PhysicalRun):
            place = {"base_page": hex(run.base_page), "page_count": hex(run.page_count)}
        else:
            place = {"start": hex(run.start), "size": hex(len(run.data))}
        index.append({**place, "offset": hex(offset)})
        offset += len(run.data)
    made: dict[str, Any] = {**(_KERNEL_HEAD if kernel else _HEAD), SOURCE: source}
    for name, kind in (KERNEL_SNAPSHOT if kernel else SNAPSHOT).items():
        made[name] = index if name == "memory" else kind.write(getattr(snapshot, name))
    made |= write_members(snapshot, {}, KERNEL_SNAPSHOT_LATER if kernel else SNAPSHOT_LATER)
    return made


def _move_in(staging: Path, directory: Path, permissions: int | None) -> None:
    """Replace the old files by the new ones. While it does so truth.json is missing: a truth never mixes snapshots."""
    directory.mkdir(exist_ok=True)
    for name in (MEMORY_FILE, REQUEST_FILE, TRUTH_FILE):
        if (directory / name).is_dir() and not (directory / name).is_symlink():
            raise OSError(f"{name} in it is a folder, expected a file")
    old = staging / "old"
    if (directory / TRUTH_FILE).exists():
        (directory / TRUTH_FILE).replace(old)
    for name in (MEMORY_FILE, REQUEST_FILE, TRUTH_FILE):
        if not (staging / name).exists():
            (directory / name).unlink(missing_ok=True)
            continue
        if name == TRUTH_FILE and old.exists():
            inherit(staging / name, old)
            take_place(staging / name, directory / name)
        else:
            take_place(staging / name, directory / name, permissions)


def load(directory: Path) -> ProcessSnapshot:
    """Load a user-mode snapshot; it is equal to the saved one. Raises TruthError."""
    return _load_process(directory, _read_truth(directory / TRUTH_FILE))[1]


def load_kernel(directory: Path) -> KernelSnapshot:
    """Load a kernel-mode snapshot; it is equal to the saved one. Raises TruthError."""
    return _load_machine(directory, _read_truth(directory / TRUTH_FILE))[1]


def load_snapshot(directory: str | Path) -> Snapshot:
    """Load a snapshot of either mode; it is equal to the saved one. Raises TruthError."""
    return load_named(directory)[1]


@no_collection()
def load_named(directory: str | Path) -> tuple[str, Snapshot]:
    """Load the name of the scenario or program, and the snapshot, of either mode. Raises TruthError."""
    directory = Path(directory)
    document = _read_truth(directory / TRUTH_FILE)
    kernel = isinstance(document, dict) and document.get("mode") == _KERNEL_HEAD["mode"]
    return _load_machine(directory, document) if kernel else _load_process(directory, document)


def _read_truth(path: Path) -> Any:
    """Return the document in ``truth.json``. Long arrays are Rows in it. Raises TruthError."""
    content = read_content(path)
    if len(content) >= rows.LONG:
        # A machine's truth says so before its first array, or it is read as any document.
        kernel = b'"kernel"' in content[: content.find(b"[")]
        with suppress(rows.Other, BadValue, TruthError):
            return rows.read_long(path, content, KERNEL_SNAPSHOT if kernel else SNAPSHOT)
    return parse_json(path, content)


def _load_process(directory: Path, document: Any) -> tuple[str, ProcessSnapshot]:
    with at_file(directory / TRUTH_FILE):
        values = _values(document, _HEAD, SNAPSHOT, SNAPSHOT_LATER)
        source, index, images = (values.pop(name) for name in (SOURCE, "memory", IMAGE_FILES))
        snapshot = ProcessSnapshot(**values, memory=())
        check_process(snapshot, index, images)
    places = [(size, offset) for _, size, offset in index]
    data = _read_memory(directory / MEMORY_FILE, places, read_run)
    memory = tuple(MemoryRun(row[0], run) for row, run in zip(index, data, strict=True))
    return source, replace(snapshot, memory=memory)


def _load_machine(directory: Path, document: Any) -> tuple[str, KernelSnapshot]:
    with at_file(directory / TRUTH_FILE):
        values = _values(document, _KERNEL_HEAD, KERNEL_SNAPSHOT, KERNEL_SNAPSHOT_LATER)
        source, index, images = (values.pop(name) for name in (SOURCE, "memory", IMAGE_FILES))
        snapshot = KernelSnapshot(**values, memory=())
        check_machine(snapshot, index, images)
    places = [(count * PAGE_SIZE, offset) for _, count, offset in index]
    data = _read_memory(directory / MEMORY_FILE, places, read_dense)
    memory = tuple(PhysicalRun(row[0], run) for row, run in zip(index, data, strict=True))
    return source, replace(snapshot, memory=memory)


def _values(
    document: Any, head: Mapping[str, Any], members: Mapping[str, Kind], later: Mapping[str, Later]
) -> dict[str, Any]:
    """Return the snapshot's values, and those of SOURCE and IMAGE_FILES. Raises BadValue."""
    body = _without_head(document, head)
    return read_members(body, {SOURCE: TEXT, **members}, {**later, IMAGE_FILES: Later(_BASES, ())})


def _without_head(document: Any, head: Mapping[str, Any]) -> dict[str, Any]:
    """Return the other members of the document. Raise BadValue unless those of ``head`` have the given values."""
    if not isinstance(document, dict):
        raise BadValue("an object", excerpt(document))
    for name, value in head.items():
        found = document.get(name)
        if type(found) is not type(value) or found != value:
            raise BadValue(json.dumps(value), excerpt(found) if name in document else "none", name)
    return {name: value for name, value in document.items() if name not in head}


def _read_memory(
    path: Path, places: Sequence[tuple[int, int]], read: Callable[[BinaryIO, int, int], _Data]
) -> list[_Data]:
    """Return the bytes of each run. ``places`` has their sizes and offsets; ``read`` takes file, offset, size."""
    expected, found = sum(size for size, _ in places), memory_size(path)
    if found != expected:
        raise TruthError(f"{path}: expected {expected} bytes, as {TRUTH_FILE} lists, found {found}")
    try:
        with path.open("rb", buffering=0) as memory:
            return [read(memory, offset, size) for size, offset in places]
    except OSError as error:
        raise TruthError(f"{path}: cannot be read: {error.strerror or error}") from error


def save_request(request: Request, directory: Path, *, file: str = "") -> None:
    """Write ``request.json`` into an existing truth directory. Raises TruthError."""
    staging = directory / f".{REQUEST_FILE}.saving"
    try:
        try:
            _write_json(staging, request_document(request, file))
            staging.replace(directory / REQUEST_FILE)
        finally:
            staging.unlink(missing_ok=True)
    except OSError as error:
        raise TruthError(f"{directory / REQUEST_FILE}: cannot be written: {error.strerror or error}") from error


def load_request(directory: Path) -> Request | None:
    """Load the request in ``directory``; None if there is no ``request.json``. Raises TruthError."""
    path = directory / REQUEST_FILE
    if not os.path.lexists(path):
        return None
    document = read_json(path)
    with at_file(path):
        values = read_members(_without_head(document, _REQUEST_HEAD), _REQUEST, _REQUEST_LATER)
    return Request(
        qualifier=values["qualifier_value"],
        format_flags=values["format_flags_value"],
        comment=values["comment"],
        profile=values["profile"],
        user_streams=values["user_streams"],
        contract=Contract(values["contract"]),
        session=Session(values["session"]),
    )


def request_document(request: Request, file: str = "") -> dict[str, Any]:
    """Return ``request.json`` as a document."""
    made = {
        "format": "dumptruth-request",
        "version": 1,
        "qualifier": request.qualifier_name,
        "qualifier_value": int(request.qualifier),
        "format_flags": format_flag_names(request.format_flags),
        "format_flags_value": int(request.format_flags),
        "comment": request.comment_text,
        "profile": str(request.profile),
        "file": file,
    }
    if request.user_streams:
        made["user_streams"] = _USER_STREAMS.write(request.user_streams)
    if request.contract != Contract.DOCUMENTED:
        made["contract"] = str(request.contract)
    if request.session != Session.LIVE:
        made["session"] = str(request.session)
    return made


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    # ASCII only: names of Windows may hold lone surrogates, which UTF-8 cannot encode.
    text = json.dumps(document, indent=1, ensure_ascii=True)
    path.write_text(text + "\n", encoding="utf-8", newline="\n")
