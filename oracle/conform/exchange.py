"""What one case exchanged with the command, and the folder that keeps it if the case fails."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from .cases import LoadedTruth
from .protocol import request_line
from .results import CaseResult, result_object

RESULT: Final = "result.json"
"""The file of the verdict. A folder that has it was kept by an earlier run."""
_PLAIN: Final = re.compile(r"[a-z0-9_-]+(/[a-z0-9_-]+)*")
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_.-]")
_LONGEST: Final = 120
_LARGEST: Final = 1 << 30
"""Bytes of a dump that is kept. A file of many terabytes without data would fill the disk."""


@dataclass(slots=True)
class Exchange:
    """One case: its request, its files, and what the command said."""

    folder: Path
    """A temporary folder for the files that the command makes."""
    message: dict[str, Any] | None = None
    """The request; None for a plain reader."""
    target: LoadedTruth | None = None
    file: Path | None = None
    """The dump: the one to read, or the one to write, which may be missing."""
    answer: bytes = b""
    errors: bytes = b""
    """The end of standard error."""


def keeper(folder: Path) -> Callable[[Exchange, CaseResult], None]:
    """Keeps what each failing case exchanged in a folder of its own below ``folder``.

    A folder that an earlier run kept is replaced, or removed if the case no longer fails. The folder of a case appears
    whole or not at all. Raises OSError.
    """
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)

    def keep(exchange: Exchange, result: CaseResult) -> None:
        place = folder / folder_name(result.case)
        if not result.fails:
            _remove(place)
            return
        staging = Path(tempfile.mkdtemp(prefix=".dumptruth-", dir=folder))
        try:
            _fill(staging, place, exchange, result)
            _remove(place)
            staging.replace(place)
        finally:
            shutil.rmtree(staging, ignore_errors=True)

    return keep


def folder_name(case: str) -> str:
    """The name of a case as the name of one folder: ``user/small/synthetic`` is ``user.small.synthetic``."""
    name = _UNSAFE.sub("_", case.replace("/", ".")).strip(".")
    if _PLAIN.fullmatch(case) and len(case) <= _LONGEST:
        return name
    return f"{name[:_LONGEST]}-{sha256(case.encode('utf-8', 'replace')).hexdigest()[:8]}"


def _remove(place: Path) -> None:
    """Remove what an earlier run kept. Raises FileExistsError for a folder of another origin."""
    if not place.exists():
        return
    if not (place / RESULT).is_file():
        raise FileExistsError(None, f"exists, and is no folder of --keep: it has no {RESULT}", str(place))
    shutil.rmtree(place)


def _fill(staging: Path, place: Path, exchange: Exchange, result: CaseResult) -> None:
    message = dict(exchange.message or {})
    target, file = exchange.target, exchange.file
    if target is not None:
        for name in ("truth.json", "memory.bin"):
            _copied(target.directory / name, staging / "truth" / name)
        _written(staging / "truth" / "request.json", json.dumps(target.document, indent=2) + "\n")
        if "truth" in message:
            message["truth"] = str(place / "truth")
    if file is not None:
        name = f"dump{file.suffix}"
        if file.is_file():
            _copied_if_small(file, staging, name)
        message |= {member: str(place / name) for member in ("file", "output") if member in message}
    if message:
        _written(staging / "message.json", request_line(message).decode("ascii") + "\n")
    if exchange.answer:
        (staging / "answer.json").write_bytes(exchange.answer)
    if exchange.errors:
        (staging / "stderr.txt").write_bytes(exchange.errors)
    _written(staging / RESULT, json.dumps(result_object(result), indent=2) + "\n")


def _copied_if_small(file: Path, folder: Path, name: str) -> None:
    """Copy the dump; or say in a text file why it is not kept. The command may make it of any size, or change it."""
    try:
        size = file.stat().st_size
        if size <= _LARGEST:
            _copied(file, folder / name)
            return
        why = f"{size} bytes, more than {_LARGEST}"
    except FileNotFoundError:
        why = "the command removed it"
    _written(folder / f"{name}.txt", f"not kept: {why}\n")


def _copied(source: Path, to: Path) -> None:
    to.parent.mkdir(exist_ok=True)
    shutil.copyfile(source, to)


def _written(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
