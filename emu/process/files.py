r"""The files that the target sees: a tree in memory, never the host's.

Paths are Win32 paths below a drive letter, compared without regard to case. The one volume is
``\Device\HarddiskVolume3``, drive C: (the object name that a handle to a file shows).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .winnt import Status, StatusError

VOLUME = r"\Device\HarddiskVolume3"
DRIVE = "C:"

# CreateDisposition and what IoStatusBlock.Information says of it: wdm.h, NtCreateFile reference page.
FILE_SUPERSEDE, FILE_OPEN, FILE_CREATE, FILE_OPEN_IF, FILE_OVERWRITE, FILE_OVERWRITE_IF = range(6)
FILE_SUPERSEDED, FILE_OPENED, FILE_CREATED, FILE_OVERWRITTEN = range(4)
FILE_DIRECTORY_FILE, FILE_NON_DIRECTORY_FILE = 0x1, 0x40


@dataclass(eq=False)
class File:
    """A file or directory; ``path`` is a Win32 path in its own spelling."""

    path: str
    is_directory: bool = False
    read_only: bool = False
    data: bytearray = field(default_factory=bytearray)

    @property
    def object_name(self) -> str:
        return VOLUME + self.path[len(DRIVE) :]


class FileSystem:
    largest_file = 1 << 24
    """Bytes: the volume is small, so that a program that writes for ever does not fill the host."""

    def __init__(self, directories: tuple[str, ...]) -> None:
        self._nodes: dict[str, File] = {}
        for path in directories:
            self.add(File(path, is_directory=True))

    def add(self, node: File) -> None:
        self._nodes[_key(node.path)] = node

    def delete(self, node: File) -> None:
        self._nodes.pop(_key(node.path), None)

    def find(self, path: str) -> File | None:
        return self._nodes.get(_key(path))

    def create(self, path: str, disposition: int, options: int) -> tuple[File, int]:
        """The node and IoStatusBlock.Information. The status codes are NtCreateFile's."""
        if disposition > FILE_OVERWRITE_IF or (options & FILE_DIRECTORY_FILE and options & FILE_NON_DIRECTORY_FILE):
            raise StatusError(Status.INVALID_PARAMETER)
        node = self.find(path)
        if node is None:
            return self._new(path, disposition, bool(options & FILE_DIRECTORY_FILE)), FILE_CREATED
        if disposition == FILE_CREATE:
            raise StatusError(Status.OBJECT_NAME_COLLISION)
        if node.is_directory and options & FILE_NON_DIRECTORY_FILE:
            raise StatusError(Status.FILE_IS_A_DIRECTORY)
        if not node.is_directory and options & FILE_DIRECTORY_FILE:
            raise StatusError(Status.NOT_A_DIRECTORY)
        if disposition in (FILE_OPEN, FILE_OPEN_IF):
            return node, FILE_OPENED
        if node.is_directory:
            raise StatusError(Status.INVALID_PARAMETER)
        if node.read_only:
            raise StatusError(Status.ACCESS_DENIED)
        node.data.clear()
        return node, FILE_SUPERSEDED if disposition == FILE_SUPERSEDE else FILE_OVERWRITTEN

    def _new(self, path: str, disposition: int, is_directory: bool) -> File:
        parent = self.find(path.rpartition("\\")[0])
        if parent is None or not parent.is_directory:
            raise StatusError(Status.OBJECT_PATH_NOT_FOUND)
        if disposition in (FILE_OPEN, FILE_OVERWRITE):
            raise StatusError(Status.OBJECT_NAME_NOT_FOUND)
        node = File(path, is_directory)
        self.add(node)
        return node


def _key(path: str) -> str:
    return path.rstrip("\\").lower()


def win32_path(name: str, root: str | None) -> str:
    r"""The Win32 path of an NT name: ``\??\C:\x``, ``\DosDevices\C:\x``, ``\Device\HarddiskVolume3\x``, or a name
    relative to ``root`` (a Win32 path).

    OBJECT_PATH_NOT_FOUND for a device that does not exist, OBJECT_NAME_INVALID for characters no name can have.
    """
    lowered = name.lower()
    if root is not None:
        path = f"{root.rstrip(chr(92))}\\{name}" if name else root
    elif lowered.startswith("\\??\\"):
        path = name[4:]
    elif lowered.startswith("\\dosdevices\\"):
        path = name[12:]
    elif lowered == VOLUME.lower() or lowered.startswith(VOLUME.lower() + "\\"):
        path = DRIVE + name[len(VOLUME) :]
    else:
        raise StatusError(Status.OBJECT_PATH_NOT_FOUND)
    if path[:2].upper() != DRIVE or path[2:3] not in ("", "\\"):
        raise StatusError(Status.OBJECT_PATH_NOT_FOUND)
    if any(character in '<>"|?*:/' or character < " " for character in path[2:]) or "\\\\" in path:
        raise StatusError(Status.OBJECT_NAME_INVALID)
    return DRIVE + path[2:]
