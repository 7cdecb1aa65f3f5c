"""Saves a snapshot and a request as files without loss, and loads them (docs/truth-format.md)."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from ..placing import PRIVATE, inherit, take_place
from ..request import Contract, Request, Session, UserStream, format_flag_names
from ..snapshot.kernel import KernelSnapshot, PhysicalRun
from ..snapshot.process import PAGE_SIZE, MemoryRun, ProcessSnapshot
from .kernel import KERNEL_SNAPSHOT
from .members import (
    BYTES,
    HEX,
    NOTHING,
    NUMBER,
    TEXT,
    Kind,
    Later,
    TruthError,
    Where,
    list_of,
    members_of,
    object_of,
    optional,
    read_members,
    write_members,
)
from .process import SNAPSHOT, SNAPSHOT_LATER
from .sparse_file import read_dense, read_run, write_run

__all__ = [
    "Snapshot",
    "TruthError",
    "load",
    "load_kernel",
    "load_request",
    "load_snapshot",
    "request_document",
    "save",
    "save_request",
    "source_of",
    "truth_document",
]  # fmt: skip

Snapshot = ProcessSnapshot | KernelSnapshot
_Data = TypeVar("_Data")
_Named = TypeVar("_Named", bound=StrEnum)

TRUTH_FILE = "truth.json"
MEMORY_FILE = "memory.bin"
REQUEST_FILE = "request.json"
IMAGE_FILES = "image_files"
"""Member of truth.json outside of the snapshot: which image files the host has may change."""

_HEAD = {"format": "dumptruth-truth", "version": 1, "mode": "user"}
_KERNEL_HEAD = {**_HEAD, "mode": "kernel"}
_BASES = list_of(HEX)
_USER_STREAMS = list_of(object_of(UserStream, {"type": NUMBER, "data": BYTES}))


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
    made: dict[str, Any] = {**(_KERNEL_HEAD if kernel else _HEAD), "source": source}
    for name, kind in (KERNEL_SNAPSHOT if kernel else SNAPSHOT).items():
        made[name] = index if name == "memory" else kind.write(getattr(snapshot, name))
    if not kernel:
        made |= write_members(snapshot, {}, SNAPSHOT_LATER)
    return made


def _move_in(staging: Path, directory: Path, permissions: int | None) -> None:
    """Replace the old files by the new ones. While it does so truth.json is missing: a truth never mixes snapshots."""
    directory.mkdir(exist_ok=True)
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
    values, where = _load(directory, SNAPSHOT, _HEAD, SNAPSHOT_LATER)
    index = [(row["start"], row["size"], row["offset"]) for row in values["memory"]]
    values["memory"] = tuple(
        MemoryRun(start, data) for start, data in _read_memory(directory / MEMORY_FILE, index, where, "start", read_run)
    )
    return ProcessSnapshot(**values)


def load_kernel(directory: Path) -> KernelSnapshot:
    """Load a kernel-mode snapshot; it is equal to the saved one. Raises TruthError."""
    values, where = _load(directory, KERNEL_SNAPSHOT, _KERNEL_HEAD)
    index = [(row["base_page"] * PAGE_SIZE, row["page_count"] * PAGE_SIZE, row["offset"]) for row in values["memory"]]
    values["memory"] = tuple(
        PhysicalRun(start // PAGE_SIZE, data)
        for start, data in _read_memory(directory / MEMORY_FILE, index, where, "base_page", read_dense)
    )
    if not 0 <= values["crashing_processor"] < len(values["processors"]):
        raise (where / "crashing_processor").error("expected the index of a processor")
    return KernelSnapshot(**values)


def load_snapshot(directory: str | Path) -> Snapshot:
    """Load a snapshot of either mode; it is equal to the saved one. Raises TruthError."""
    directory = Path(directory)
    document = _read_json(directory / TRUTH_FILE)
    kernel = isinstance(document, dict) and document.get("mode") == _KERNEL_HEAD["mode"]
    return load_kernel(directory) if kernel else load(directory)


def _load(
    directory: Path, members: Mapping[str, Kind], head: Mapping[str, Any], later: Mapping[str, Later] = NOTHING
) -> tuple[dict[str, Any], Where]:
    path = directory / TRUTH_FILE
    where = Where(path, "")
    document = members_of(_read_json(path), where, [*head, "source", *members], {*later, IMAGE_FILES})
    optional(_BASES).read(document.get(IMAGE_FILES), where / IMAGE_FILES)
    for name, value in head.items():
        if document[name] != value:
            raise (where / name).error(f"expected {json.dumps(value)}, found {json.dumps(document[name])[:40]}")
    return read_members(document, where, members, later), where


def source_of(directory: Path) -> str:
    """Return the scenario or program that the truth names as its source. Raises TruthError."""
    path = directory / TRUTH_FILE
    document = _read_json(path)
    if not isinstance(document, dict) or "source" not in document:
        raise Where(path, "source").error("missing")
    return str(TEXT.read(document["source"], Where(path, "source")))


def _read_memory(
    path: Path,
    index: Sequence[tuple[int, int, int]],
    top: Where,
    start_name: str,
    read: Callable[[BinaryIO, int, int], _Data],
) -> list[tuple[int, _Data]]:
    """Return (start, bytes) of each run. ``index`` holds (start, size, offset); ``read`` takes file, offset, size."""
    where = top / "memory"
    expected, end = 0, -1
    for number, (start, size, offset) in enumerate(index):
        if offset != expected:
            raise (where / number / "offset").error(
                f"expected {expected:#x}, the end of the run before, found {offset:#x}"
            )
        if size == 0 or start <= end:
            raise (where / number / start_name).error("expected runs that are not empty, sorted and not adjacent")
        expected += size
        end = start + size
    try:
        length = path.stat().st_size
        if length != expected:
            raise TruthError(f"{path}: {length} bytes, expected {expected} bytes, as {TRUTH_FILE} lists")
        with path.open("rb") as memory:
            return [(start, read(memory, offset, size)) for start, size, offset in index]
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
    if not path.exists():
        return None
    where = Where(path, "")
    members = (
        "format", "version", "qualifier", "qualifier_value", "format_flags", "format_flags_value", "comment",
        "profile", "file",
    )  # fmt: skip
    document = members_of(_read_json(path), where, members, ("user_streams", "contract", "session"))
    if document["format"] != "dumptruth-request" or document["version"] != 1:
        raise (where / "format").error('expected format "dumptruth-request", version 1')
    return Request(
        qualifier=NUMBER.read(document["qualifier_value"], where / "qualifier_value"),
        format_flags=NUMBER.read(document["format_flags_value"], where / "format_flags_value"),
        comment=optional(TEXT).read(document["comment"], where / "comment"),
        profile=TEXT.read(document["profile"], where / "profile"),
        user_streams=_USER_STREAMS.read(document.get("user_streams", []), where / "user_streams"),
        contract=_named(Contract, document.get("contract", Contract.DOCUMENTED), where / "contract"),
        session=_named(Session, document.get("session", Session.LIVE), where / "session"),
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


def _named(names: type[_Named], value: Any, where: Where) -> _Named:
    """The member of ``names`` with that value. Raises TruthError."""
    if value not in list(names):
        raise where.error(f"expected one of {', '.join(names)}")
    return names(value)


def _write_json(path: Path, document: Mapping[str, Any]) -> None:
    # ASCII only: names of Windows may hold lone surrogates, which UTF-8 cannot encode.
    text = json.dumps(document, indent=1, ensure_ascii=True)
    path.write_text(text + "\n", encoding="utf-8", newline="\n")


def _read_json(path: Path) -> Any:
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # to open a FIFO would wait for its writer
            raise TruthError(f"{path}: is no regular file")
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TruthError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise TruthError(f"{path}: not JSON: {error}") from error
