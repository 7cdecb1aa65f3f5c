r"""Models the target's file system as a tree in memory. The target never sees files of the host.

Paths are Win32 paths with a drive letter; their comparison ignores case. The only volume is
``\Device\HarddiskVolume3``, drive C:. Names of file objects begin with that device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .ceilings import Ceilings
from .winnt import Status, StatusError

VOLUME = r"\Device\HarddiskVolume3"
DRIVE = "C:"

# CreateDisposition, and the results in IoStatusBlock.Information: wdm.h, NtCreateFile reference page.
FILE_SUPERSEDE, FILE_OPEN, FILE_CREATE, FILE_OPEN_IF, FILE_OVERWRITE, FILE_OVERWRITE_IF = range(6)
FILE_SUPERSEDED, FILE_OPENED, FILE_CREATED, FILE_OVERWRITTEN = range(4)
_RECORD_SIZE = 1024  # of a file record of NTFS
# winnt.h
FILE_ATTRIBUTE_READONLY, FILE_ATTRIBUTE_DIRECTORY, FILE_ATTRIBUTE_ARCHIVE = 0x1, 0x10, 0x20
FILE_ATTRIBUTE_SETTABLE = 0x2 | 0x4 | 0x100 | 0x2000  # HIDDEN, SYSTEM, TEMPORARY, NOT_CONTENT_INDEXED
FILE_DIRECTORY_FILE, FILE_NON_DIRECTORY_FILE = 0x1, 0x40


@dataclass(eq=False)
class File:
    """A file or directory. ``path`` is its Win32 path in the original case."""

    path: str
    is_directory: bool = False
    read_only: bool = False
    data: bytearray = field(default_factory=bytearray)
    opened: int = 0
    """Number of file objects that refer to it."""
    charge: int = 0
    """Bytes of the disk that it takes, without its data; 0 for a file that the program has not made."""
    deleted: bool = False
    attributes: int = 0
    """FILE_ATTRIBUTE_HIDDEN, _SYSTEM and the like, as the program sets them."""
    created: int = 0
    accessed: int = 0
    written: int = 0
    """Times are FILETIMEs."""
    index: int = 0
    """The number of the file on its volume."""

    @property
    def all_attributes(self) -> int:
        """FILE_ATTRIBUTE_* as a program sees them."""
        kind = FILE_ATTRIBUTE_DIRECTORY if self.is_directory else FILE_ATTRIBUTE_ARCHIVE
        return self.attributes | kind | (FILE_ATTRIBUTE_READONLY if self.read_only else 0)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("\\")[2]

    @property
    def object_name(self) -> str:
        """The object manager path of the file."""
        return VOLUME + self.path[len(DRIVE) :]


class FileSystem:
    """The files and directories of drive C:. ``meter`` limits what the program writes.

    ``now`` is the time of the system, a FILETIME: new and written files get it.
    """

    def __init__(
        self, directories: tuple[str, ...], meter: Ceilings | None = None, now: Callable[[], int] = lambda: 0
    ) -> None:
        self._meter = meter or Ceilings()
        self.now = now
        self._used = 0
        self._next_index = 0x1_0000_0000_0005  # NTFS: sequence number 1, record number; 5 is the root directory
        self._nodes: dict[str, File] = {}
        for path in directories:
            self.add(File(path, is_directory=True))

    def add(self, node: File) -> None:
        """Add a file or directory. Replaces one with the same path."""
        node.created = node.accessed = node.written = self.now()
        node.index = self._next_index
        self._next_index += 1
        self._nodes[_key(node.path)] = node

    def delete(self, node: File) -> None:
        """Remove a file or directory, if it exists. Its bytes are freed with its last file object."""
        if self._nodes.get(_key(node.path)) is node:
            del self._nodes[_key(node.path)]
            node.deleted = True
            self._free(node)

    def close(self, node: File) -> None:
        """Close a file object of ``node``."""
        node.opened -= 1
        self._free(node)

    def _free(self, node: File) -> None:
        if node.deleted and not node.opened and node.charge:
            self._used -= node.charge + len(node.data)

    def extend(self, node: File, size: int) -> None:
        """Fill a file up to ``size`` with zeros, if it is shorter. Raises DISK_FULL."""
        more = size - len(node.data)
        if more > 0:
            self._meter.admit("disk", self._used, more)
            self._used += more
            node.data.extend(bytes(more))

    def resize(self, node: File, size: int) -> None:
        """Cut a file, or fill it with zeros. Raises DISK_FULL."""
        self.extend(node, size)
        self._used -= len(node.data) - size
        del node.data[size:]
        node.written = self.now()

    def listing(self, directory: File) -> list[File]:
        """The files and directories of a directory, in the order of their names without case, as NTFS has them."""
        prefix = _key(directory.path) + "\\"
        names = [key for key in self._nodes if key.startswith(prefix) and "\\" not in key[len(prefix) :]]
        return [self._nodes[key] for key in sorted(names, key=str.upper)]

    def rename(self, node: File, path: str, *, replace: bool) -> None:
        """Give a file or directory another path, with all that is in it.

        Raises OBJECT_NAME_COLLISION, OBJECT_PATH_NOT_FOUND, ACCESS_DENIED, INVALID_PARAMETER.
        """
        parent, target = self.find(path.rpartition("\\")[0]), self.find(path)
        if parent is None or not parent.is_directory:
            raise StatusError(Status.OBJECT_PATH_NOT_FOUND)
        old, new = _key(node.path), _key(path)
        if node.is_directory and new.startswith(old + "\\"):
            raise StatusError(Status.INVALID_PARAMETER)
        if target is not None and target is not node:
            if not replace:
                raise StatusError(Status.OBJECT_NAME_COLLISION)
            if target.is_directory or target.read_only or target.opened:
                raise StatusError(Status.ACCESS_DENIED)
            self.delete(target)
        moved = [key for key in self._nodes if key == old or key.startswith(old + "\\")]
        for key in moved:
            child = self._nodes.pop(key)
            child.path = path + child.path[len(node.path) :] if child is not node else child.path
            self._nodes[new + key[len(old) :]] = child
        node.path = path

    def find(self, path: str) -> File | None:
        """The file or directory with that Win32 path, or None."""
        return self._nodes.get(_key(path))

    def create(self, path: str, disposition: int, options: int) -> tuple[File, int]:
        """Open or create a file. Returns the file and IoStatusBlock.Information.

        Raises StatusError with the status codes of NtCreateFile.
        """
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
        self._used -= len(node.data)
        node.data.clear()
        node.written = self.now()
        return node, FILE_SUPERSEDED if disposition == FILE_SUPERSEDE else FILE_OVERWRITTEN

    def _new(self, path: str, disposition: int, is_directory: bool) -> File:
        parent = self.find(path.rpartition("\\")[0])
        if parent is None or not parent.is_directory:
            raise StatusError(Status.OBJECT_PATH_NOT_FOUND)
        if disposition in (FILE_OPEN, FILE_OVERWRITE):
            raise StatusError(Status.OBJECT_NAME_NOT_FOUND)
        node = File(path, is_directory, charge=_RECORD_SIZE + 2 * len(path))
        self._meter.admit("disk", self._used, node.charge)
        self._used += node.charge
        self.add(node)
        return node


def _key(path: str) -> str:
    return path.rstrip("\\").lower()


def win32_path(name: str, root: str | None) -> str:
    r"""The Win32 path of an NT name.

    Accepts ``\??\C:\x``, ``\DosDevices\C:\x``, ``\Device\HarddiskVolume3\x``, and names relative to ``root``
    (a Win32 path). Raises OBJECT_PATH_NOT_FOUND for an unknown device, OBJECT_NAME_INVALID for invalid characters.
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
