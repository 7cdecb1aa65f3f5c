"""A folder of vectors as Python values: what its manifest says of each, and where the files are."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from .truth.load import RequestTruth, Truth, load_any_truth, parse_request

MANIFEST: Final = "manifest.json"
MEMBERS: Final = ("name", "kind", "mode", "container", "architecture", "qualifier", "profile", "rule", "flags")
"""What vectors can be chosen by."""


class VectorsError(Exception):
    """No folder of vectors, or no such choice; the message is one line."""


@dataclass(frozen=True)
class Vector:
    """One vector, as the README of an exported folder says. ``entry`` is its object in the manifest."""

    name: str
    kind: str
    """``valid``, ``invalid``, ``acceptable`` or ``refused``."""
    path: Path | None
    """The dump; None of a refused request, or where the folder has it not."""
    truth_folder: Path | None
    """None where the folder has it not, or where nothing is known of the target."""
    facts: dict[str, Any] | None = field(repr=False)
    """Of the target: threads, modules, exception or bug check. None where nothing is known of it."""
    entry: dict[str, Any] = field(repr=False)

    def read(self) -> bytes:
        """The dump. Raises ValueError when there is none, OSError."""
        if self.path is None:
            raise ValueError(f"{self.name}: the folder has no file of it")
        return self.path.read_bytes()

    def truth(self) -> Truth | None:
        """What the target held. Raises TruthError."""
        return None if self.truth_folder is None else load_any_truth(self.truth_folder)

    def request(self) -> RequestTruth | None:
        """What the dump was asked to hold. Raises TruthError."""
        return None if self.entry["request"] is None else parse_request(self.entry["request"])


def packaged() -> Path:
    """The folder of the vectors that come with this project: found by its path, so nothing of it is imported."""
    for here in (Path(__file__), Path(__file__).resolve()):
        folder = here.parent.parent / "fixtures" / "golden"
        if folder.is_dir():
            return folder
    raise VectorsError("this installation has no vectors: name a folder that 'dumptruth vectors export' made")


def load_vectors(folder: Path) -> tuple[Vector, ...]:
    """Every vector that the manifest lists, in its order. Raises VectorsError."""
    path = folder / MANIFEST
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if (document["format"], document["version"]) != ("dumptruth-vectors", 1):
            raise VectorsError(f"{path}: expected format dumptruth-vectors, version 1")
        targets = document["targets"]
        return tuple(
            Vector(
                entry["name"],
                entry["kind"],
                _there(folder, entry["file"]),
                _there(folder, entry["truth"]),
                None if entry["target"] is None else targets[entry["target"]]["facts"],
                entry,
            )
            for entry in document["vectors"]
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise VectorsError(f"{path}: no manifest of vectors: {' '.join(str(error).split())}") from error


def _there(folder: Path, name: str | None) -> Path | None:
    return None if name is None or not (folder / name).exists() else folder / name


def choose(vectors: Iterable[Vector], **wanted: str | Collection[str]) -> tuple[Vector, ...]:
    """Those whose members are as wanted: ``kind="valid"``, ``mode=("user", "kernel")``, ``name="hostile/*"``.

    ``name`` takes patterns; of ``flags`` a vector must have every one. Raises VectorsError for a member that vectors
    cannot be chosen by.
    """
    unknown = set(wanted) - set(MEMBERS)
    if unknown:
        raise VectorsError(f"vectors cannot be chosen by {', '.join(sorted(unknown))}; there are {', '.join(MEMBERS)}")

    def fits(vector: Vector) -> bool:
        for member, value in wanted.items():
            values = [value] if isinstance(value, str) else list(value)
            if member == "name":
                if not any(fnmatchcase(vector.name, pattern) for pattern in values):
                    return False
            elif member == "flags":
                if not set(values) <= set(vector.entry["flags"]):
                    return False
            elif vector.entry[member] not in values:
                return False
        return True

    return tuple(vector for vector in vectors if fits(vector))
