"""Finds image files and PDBs of a target on the host, for cabinets with secondary files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PureWindowsPath

from .debugger.secondary_files import File
from .images.services import FOLDER

BUILT = (FOLDER, FOLDER / "kernel")
"""Folders of the synthetic system: programs and DLLs, kernel and drivers."""


class FoundFiles:
    """Finds a file by its base name, ignoring case: in ``made``, then in ``folders``, then among the built images.

    The folder in the target's path is ignored, as with a debugger's image path.
    """

    def __init__(self, *folders: Path, made: Mapping[str, bytes] | None = None) -> None:
        self._folders = (*(folder.absolute() for folder in folders), *BUILT)
        self._made = {name.casefold(): data for name, data in (made or {}).items()}

    def __call__(self, name: str) -> File | None:
        base = PureWindowsPath(name).name.casefold()
        if base in self._made:
            return self._made[base]
        for folder in self._folders:
            for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                if path.name.casefold() == base and path.is_file():
                    return path
        return None
