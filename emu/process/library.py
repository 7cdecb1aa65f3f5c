r"""Finds images in host directories that represent guest directories, in the search order of Windows.

A name without a path is searched in the program's directory, then in System32. ntdll, kernel32 and the C runtime are
known DLLs and come from System32 only ("Dynamic-link library search order").
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ..image import Image, ImageError, load_image, read_image
from .system import PROGRAM_DIRECTORY, SYSTEM_DIRECTORY

KNOWN_DLLS = frozenset({"ntdll.dll", "kernel32.dll", "ucrtbase.dll", "msvcrt.dll"})
SYSTEM_DLLS = KNOWN_DLLS | {
    "advapi32.dll", "bcrypt.dll", "bcryptprimitives.dll", "user32.dll", "vcruntime140.dll", "winmm.dll",
    "ws2_32.dll",
}  # fmt: skip
"""What System32 holds. The folder of the small system holds images of programs, too."""
SYSTEM_IMAGES = Path(__file__).parent.parent / "images"
"""The host directory of the small system: ntdll.dll and kernel32.dll as the stock scenarios need them."""
RUNTIME_IMAGES = SYSTEM_IMAGES / "runtime"
"""The host directory of the runtime system, which runs programs of the user."""


@dataclass(frozen=True, slots=True)
class FoundImage:
    """An image and its guest path."""

    path: str
    """Guest path in the case that the module list shows."""
    image: Image


@lru_cache(maxsize=64)
def _parsed(data: bytes, name: str, whole_sections: bool = False) -> Image:
    return load_image(data, name=name, whole_sections=whole_sections)


class ImageLibrary:
    """The images of the target. The target sees the files of ``program_directories`` in its program's directory."""

    def __init__(self, program_directories: tuple[Path, ...], system_directory: Path = SYSTEM_IMAGES) -> None:
        self._sources = (
            *((PROGRAM_DIRECTORY, directory) for directory in program_directories),
            (SYSTEM_DIRECTORY, system_directory),
        )

    def find(self, name: str) -> FoundImage | None:
        """The DLL for a LoadLibrary name, or None. Adds ``.dll`` to a name without extension.

        Raises ImageError for a file that is not an image for this machine, OSError if the host's file cannot be read.
        """
        directory, _, base = name.replace("/", "\\").rpartition("\\")
        if not base:
            return None
        if "." not in base:
            base += ".dll"
        base = base.rstrip(".")
        for guest, host in self._sources:
            if directory and directory.lower() != guest.lower():
                continue
            if base.lower() not in SYSTEM_DLLS if guest == SYSTEM_DIRECTORY else base.lower() in KNOWN_DLLS:
                continue
            found = _host_file(host, base.lower())
            if found is not None:
                return FoundImage(f"{guest}\\{found.name}", _parsed(read_image(found), found.name))
        return None


def load_file(path: Path) -> Image:
    """The image in a host file, for a kernel machine. Parsed images are cached. Raises ImageError, OSError.

    Sections keep the bytes of the file up to the end of their last page. A user process's images have zeros there: what
    the vendor's engine wrote of those processes is recorded with them.
    """
    return _parsed(read_image(path), path.name, whole_sections=True)


def load_program(path: Path) -> FoundImage:
    """The program, in the guest's program directory. Raises ImageError, OSError."""
    found = FoundImage(f"{PROGRAM_DIRECTORY}\\{path.name}", _parsed(read_image(path), path.name))
    if found.image.is_dll:
        raise ImageError(f"{path.name}: is a DLL, expected a program")
    return found


def _host_file(directory: Path, name: str) -> Path | None:
    """The file of that lower-case name, or None. Ignores case on every host; the first of several matches."""
    if not directory.is_dir():
        return None
    return next(
        (entry for entry in sorted(directory.iterdir()) if entry.name.lower() == name and entry.is_file()), None
    )
