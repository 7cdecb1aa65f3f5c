"""Loads cases from a folder of vectors: files, truths and a manifest.json, as ``dumptruth vectors export`` makes it."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from ..truth.document import load_json
from ..truth.load import TruthError, load_any_truth, parse_request
from .cases import Dumped, Duty, Kind, LoadedTruth, ReaderCase, WriterCase

MANIFEST = "manifest.json"
_HRESULT = re.compile("0x[0-9a-fA-F]{8}")
_REFUSED = "refused"
"""The kind of a vector without a file: a request that a writer must refuse."""


class VectorsError(Exception):
    """The folder has no valid manifest, or differs from it. The text is one line."""


def load_reader_cases(folder: Path) -> list[ReaderCase]:
    """A case for every vector whose file exists; large ones may not have been built. Raises VectorsError."""
    cases: list[ReaderCase] = []
    for vector in _vectors(folder):
        if vector["file"] is None or not _path(folder, vector["file"]).is_file():
            continue
        kind = Kind(vector["kind"])
        cases.append(
            ReaderCase(
                vector["name"],
                kind,
                partial(_dumped, folder, vector),
                rule=vector["rule"],
                note=vector["note"] or vector["reason"] or "",
                duty=_duty(vector, kind),
            )
        )
    return cases


def load_writer_cases(folder: Path) -> list[WriterCase]:
    """A case for every valid or refused vector whose truth exists. Raises VectorsError."""
    return [
        WriterCase(
            vector["name"],
            partial(_target, folder, vector),
            note=vector["note"],
            hresult=None if vector["hresult"] is None else int(vector["hresult"], 16),
        )
        for vector in _vectors(folder)
        if vector["kind"] in (Kind.VALID, _REFUSED) and _has_truth(folder, vector)
    ]


def _vectors(folder: Path) -> list[dict[str, Any]]:
    path = folder / MANIFEST
    try:
        document = load_json(path)
    except TruthError as error:
        raise VectorsError(f"{folder}: {error}: expected a folder of vectors") from error
    head = ("dumptruth-vectors", 1)
    if not isinstance(document, dict) or (document.get("format"), document.get("version")) != head:
        _fail(path, "the file", "format dumptruth-vectors, version 1")
    vectors = document.get("vectors")
    if not isinstance(vectors, list):
        _fail(path, "vectors", "a list")
    for index, vector in enumerate(vectors):
        where = f"vectors[{index}]"
        if not isinstance(vector, dict) or not isinstance(vector.get("judged"), dict):
            _fail(path, where, "an object with a member judged")
        for name in ("name", "kind", "file", "truth", "rule", "note", "reason", "hresult"):
            if not isinstance(vector.get(name), str | None) or name not in vector:
                _fail(path, f"{where}.{name}", "text or null")
        if vector.get("reader") not in (None, *Duty):
            _fail(path, f"{where}.reader", f"{', '.join(Duty)} or null")
        if vector["kind"] not in (*Kind, _REFUSED) or not vector["name"]:
            _fail(path, where, f"a name, and a kind of {', '.join((*Kind, _REFUSED))}")
        if vector["kind"] == _REFUSED and vector["file"] is not None:
            _fail(path, f"{where}.file", "null: a refused request has no file")
        if vector["hresult"] is not None and not _HRESULT.fullmatch(vector["hresult"]):
            _fail(path, f"{where}.hresult", "8 hexadecimal digits after 0x, or null")
        if not all(isinstance(vector["judged"].get(name), bool) for name in ("truth", "replay")):
            _fail(path, f"{where}.judged", "the booleans truth and replay")
    return vectors


def _duty(vector: dict[str, Any], kind: Kind) -> Duty | None:
    """What a reader must do. Manifests before 1.2 do not say it: a reader may overlook what only the truth shows."""
    if vector.get("reader") is not None:
        return Duty(vector["reader"])
    beside_truth = vector["judged"]["truth"] or vector["judged"]["replay"]
    return Duty.MAY_REJECT if kind is Kind.INVALID and beside_truth else None


def _path(folder: Path, name: str) -> Path:
    """The path of a file in the folder. Raises VectorsError for a path outside."""
    path = folder / name
    try:
        inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError):  # too long, a NUL, a character that the system's names cannot have
        inside = False
    if not inside:
        _fail(folder / MANIFEST, ascii(name), "a path inside the folder")
    return path


def _has_truth(folder: Path, vector: dict[str, Any]) -> bool:
    if vector["truth"] is None:
        return False
    directory = _path(folder, vector["truth"])
    return all((directory / name).is_file() for name in ("truth.json", "memory.bin"))


def _target(folder: Path, vector: dict[str, Any]) -> LoadedTruth:
    directory = _path(folder, vector["truth"]).resolve()
    try:
        return LoadedTruth(directory, load_any_truth(directory), parse_request(vector["request"]), vector["request"])
    except (TruthError, KeyError) as error:
        raise VectorsError(f"{vector['name']}: {error}") from error


def _dumped(folder: Path, vector: dict[str, Any]) -> Dumped:
    path = _path(folder, vector["file"]).resolve()
    if vector["judged"]["truth"] and vector["kind"] != Kind.INVALID and _has_truth(folder, vector):
        return Dumped(path, _target(folder, vector))
    return Dumped(path)


def _fail(path: Path, where: str, expected: str) -> NoReturn:
    raise VectorsError(f"{path}: {where}: expected {expected}")
