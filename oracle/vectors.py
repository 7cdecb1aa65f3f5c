"""Loads the manifest of a folder of vectors, and selects vectors by their members."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PureWindowsPath
from typing import Any, Final

from .conform.document import facts_document
from .memory.regular_file import read_regular
from .memory.source import ByteSource
from .truth.document import load_json
from .truth.load import RequestTruth, Truth, load_any_truth, parse_request

MANIFEST: Final = "manifest.json"
MEMBERS: Final = (
    "name",
    "kind",
    "mode",
    "container",
    "architecture",
    "qualifier",
    "profile",
    "rule",
    "reader",
    "flags",
)
"""The members by which ``choose`` selects."""
READS: Final = {
    "container": ("minidump", "userdump", "kernel-dump", "cab"),
    "architecture": ("x86", "amd64", "arm", "arm64"),
}
"""What a reader may be said to read, by the member of a vector that tells it."""


class VectorsError(Exception):
    """The folder has no valid manifest, or a member is unknown. The text is one line."""


@dataclass(frozen=True)
class Vector:
    """One vector (fixtures/vectors/exported.md). ``entry`` is its object in the manifest."""

    name: str
    kind: str
    """``valid``, ``invalid``, ``acceptable`` or ``refused``."""
    path: Path | None
    """The dump; None for a refused request, or if the folder lacks the file."""
    truth_folder: Path | None
    """None if the folder lacks it, or if the target is unknown."""
    facts: dict[str, Any] | None = field(repr=False)
    """Threads, modules, and exception or bug check of the target. None if the target is unknown."""
    entry: dict[str, Any] = field(repr=False)
    comparable: bool = field(repr=False)
    """Whether ``expected`` knows the facts that a reader should report."""

    @property
    def reader(self) -> str | None:
        """What a reader must do: ``must-read``, ``may-reject`` or ``must-reject``. None for a refused request."""
        return self.entry.get("reader")

    def expected(self) -> dict[str, Any]:
        """The facts that a reader should report (schemas/facts-1.json), read from the dump and the truth.

        Raises ValueError if they are unknown or the folder lacks the file; TruthError; OSError.
        """
        if not self.comparable:
            raise ValueError(f"{self.name}: the dump is broken or missing, so the right facts are unknown")
        beside = self.truth() if self.entry["judged"]["truth"] and self.kind != "invalid" else None
        return facts_document(ByteSource(self.read(), self.name), self.name, beside)

    def read(self) -> bytes:
        """The bytes of the dump. Raises ValueError if the vector has no file, and OSError."""
        if self.path is None:
            raise ValueError(f"{self.name}: the folder has no file for this vector")
        return read_regular(self.path)

    def truth(self) -> Truth | None:
        """The loaded truth of the target; None without one. Raises TruthError."""
        return None if self.truth_folder is None else load_any_truth(self.truth_folder)

    def request(self) -> RequestTruth | None:
        """The request of the dump; None without one. Raises TruthError."""
        return None if self.entry["request"] is None else parse_request(self.entry["request"])


def packaged() -> Path:
    """The folder of the vectors in this installation. It is found by its path, so that no fixture is imported."""
    for here in (Path(__file__), Path(__file__).resolve()):
        folder = here.parent.parent / "fixtures" / "golden"
        if folder.is_dir():
            return folder
    raise VectorsError("this installation has no vectors: expected a folder made by 'dumptruth vectors export'")


def load_vectors(folder: Path) -> tuple[Vector, ...]:
    """Every vector of the manifest, in its order. Raises VectorsError."""
    path = folder / MANIFEST
    try:
        document = load_json(path)
        if (document["format"], document["version"]) != ("dumptruth-vectors", 1):
            raise VectorsError(f"{path}: expected format dumptruth-vectors, version 1")
        targets, readers = document["targets"], document.get("readers", {})
        return tuple(
            Vector(
                _text(entry["name"]),
                _text(entry["kind"]),
                _there(folder, entry["file"]),
                _there(folder, entry["truth"]),
                None if entry["target"] is None else targets[entry["target"]]["facts"],
                entry,
                bool(readers[entry["why"]]["facts"]) if "why" in entry else entry["kind"] in ("valid", "acceptable"),
            )
            for entry in document["vectors"]
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise VectorsError(f"{path}: not a manifest of vectors: {' '.join(str(error).split())}") from error


def _text(value: Any) -> str:
    """Raises TypeError unless ``value`` is text."""
    if not isinstance(value, str):
        raise TypeError(f"expected text, found {type(value).__name__}")
    return value


def _there(folder: Path, name: str | None) -> Path | None:
    """The path of a file of the folder, if it is there. Raises ValueError for one outside."""
    if name is None:
        return None
    parts = PureWindowsPath(name)  # it splits at both slashes, and knows drives
    if parts.anchor or ".." in parts.parts:
        raise ValueError(f"expected a path inside the folder, found {name!a}")
    path = folder / name
    return path if path.exists() else None


def why_unread(vector: Vector, reads: str | Collection[str]) -> str | None:
    """Why a reader that reads only ``reads`` does not read ``vector``, in one line; None if it does.

    ``reads`` are words of ``READS``: ``"minidump"``, ``("minidump", "amd64")``. Without a word for a member, the reader
    reads every value of it. Raises VectorsError for an unknown word.
    """
    words = {reads} if isinstance(reads, str) else set(reads)
    known = {word for values in READS.values() for word in values}
    if words - known:
        raise VectorsError(f"reads {', '.join(sorted(words - known))}: expected {', '.join(sorted(known))}")
    for member, values in READS.items():
        read = [value for value in values if value in words]
        if read and vector.entry[member] not in read:
            return f"{member} {vector.entry[member]}: the reader reads {', '.join(read)}"
    return None


def choose(vectors: Iterable[Vector], **wanted: str | Collection[str]) -> tuple[Vector, ...]:
    """The vectors whose members match: ``kind="valid"``, ``mode=("user", "kernel")``, ``name="hostile/*"``.

    ``name`` takes patterns. A vector must have every one of ``flags``, and one of the values of any other member.
    Raises VectorsError for an unknown member.
    """
    unknown = set(wanted) - set(MEMBERS)
    if unknown:
        raise VectorsError(f"unknown member {', '.join(sorted(unknown))}: expected {', '.join(MEMBERS)}")

    def fits(vector: Vector) -> bool:
        for member, value in wanted.items():
            values = [value] if isinstance(value, str) else list(value)
            if member == "name":
                if not any(fnmatchcase(vector.name, pattern) for pattern in values):
                    return False
            elif member == "flags":
                if not set(values) <= set(vector.entry["flags"]):
                    return False
            elif vector.entry.get(member) not in values:
                return False
        return True

    return tuple(vector for vector in vectors if fits(vector))
