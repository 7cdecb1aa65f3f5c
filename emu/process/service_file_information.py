"""Implements the system services that tell and change what is known of files and directories.

Structures and classes: ntifs.h and the reference pages of NtQueryInformationFile, NtSetInformationFile,
NtQueryDirectoryFile and NtQueryVolumeInformationFile. The files are those of files.py: no service sees the host's.
"""

from __future__ import annotations

import fnmatch
import re
import struct

from .files import FILE_ATTRIBUTE_READONLY, FILE_ATTRIBUTE_SETTABLE, File, win32_path
from .objects import DELETE, FILE_WRITE_DATA, FileObject
from .services import Call, boolean, object_attributes, service, u32
from .winnt import PAGE_SIZE, Status, StatusError

# FILE_INFORMATION_CLASS (wdm.h)
BOTH_DIRECTORY, BASIC, STANDARD, INTERNAL, NAME, RENAME, DISPOSITION = 3, 4, 5, 6, 9, 10, 13
POSITION, ALLOCATION, END_OF_FILE, NETWORK_OPEN, ATTRIBUTE_TAG = 14, 19, 20, 34, 35
# FS_INFORMATION_CLASS (wdm.h)
FS_VOLUME, FS_SIZE, FS_DEVICE, FS_ATTRIBUTE = 1, 3, 4, 5

FILE_DEVICE_DISK, FILE_DEVICE_CONSOLE = 0x7, 0x50  # wdm.h
SERIAL_NUMBER = 0x5BD1_E995
"""Of the volume; a random value on a real system."""
VOLUME_CLUSTERS, FREE_CLUSTERS = 0x0200_0000, 0x0100_0000
"""128 GiB of clusters of a page, of which half are free."""


def _finish(call: Call, iosb_at: int, information: int) -> int:
    call.process.memory.write(iosb_at, struct.pack("<QQ", Status.SUCCESS, information))
    return Status.SUCCESS


def _answer(call: Call, data: bytes, *, variable: bool = False) -> int:
    """Write what a query found: arguments (file, *iosb, buffer, length, ...).

    ``variable``: the data ends with a name, which is cut if there is no room for it: BUFFER_OVERFLOW.
    """
    _, iosb_at, buffer, length = call.arguments[:4]
    length = u32(length)
    if not variable and length < len(data):
        raise StatusError(Status.INFO_LENGTH_MISMATCH)
    call.process.memory.write(buffer, data[:length])
    status = Status.SUCCESS if length >= len(data) else Status.BUFFER_OVERFLOW
    call.process.memory.write(iosb_at, struct.pack("<QQ", status, min(len(data), length)))
    return status


def _file_of(call: Call, access: int = 0) -> tuple[FileObject, File]:
    file = call.process.handles.get(call.arguments[0], FileObject, access)
    if file.node is None:
        raise StatusError(Status.INVALID_DEVICE_REQUEST)
    return file, file.node


def _times(node: File) -> bytes:
    """CreationTime, LastAccessTime, LastWriteTime, ChangeTime."""
    return struct.pack("<4Q", node.created, node.accessed, node.written, node.written)


def _allocated(node: File) -> int:
    return -(-len(node.data) // PAGE_SIZE) * PAGE_SIZE


def _network_open(node: File) -> bytes:
    """FILE_NETWORK_OPEN_INFORMATION."""
    return _times(node) + struct.pack("<QQI4x", _allocated(node), len(node.data), node.all_attributes)


@service
def NtQueryInformationFile(call: Call) -> int:
    file, node = _file_of(call)
    match u32(call.arguments[4]):
        case 4:
            data = _times(node) + struct.pack("<I4x", node.all_attributes)
        case 5:
            links = int(not node.deleted)
            fields = _allocated(node), len(node.data), links, file.delete_on_close, node.is_directory
            data = struct.pack("<QQI??2x", *fields)
        case 6:
            data = struct.pack("<Q", node.index)
        case 9:
            name = node.path[2:].encode("utf-16-le", "surrogatepass") or "\\".encode("utf-16-le")
            return _answer(call, struct.pack("<I", len(name)) + name, variable=True)
        case 14:
            data = struct.pack("<Q", file.position)
        case 34:
            data = _network_open(node)
        case 35:
            data = struct.pack("<II", node.all_attributes, 0)
        case _:
            raise StatusError(Status.INVALID_INFO_CLASS)
    return _answer(call, data)


# The least length of what NtSetInformationFile takes, and the access that it needs.
_SETTABLE = {
    BASIC: (40, 0x100),  # FILE_WRITE_ATTRIBUTES
    RENAME: (20, DELETE),
    DISPOSITION: (1, DELETE),
    POSITION: (8, 0),
    ALLOCATION: (8, FILE_WRITE_DATA),
    END_OF_FILE: (8, FILE_WRITE_DATA),
}


@service
def NtSetInformationFile(call: Call) -> int:
    _, iosb_at, buffer, length, kind = call.arguments
    memory, kind = call.process.memory, u32(kind)
    if kind not in _SETTABLE:
        raise StatusError(Status.INVALID_INFO_CLASS)
    least, access = _SETTABLE[kind]
    if u32(length) < least:
        raise StatusError(Status.INFO_LENGTH_MISMATCH)
    file, node = _file_of(call, access)
    data = memory.read(buffer, u32(length))
    memory.probe_write(iosb_at, 16)
    if kind == BASIC:
        _set_basic(node, data)
    elif kind == RENAME:
        _rename(call, node, data)
    elif kind == DISPOSITION:
        _dispose(call, file, node, delete=bool(data[0]))
    elif kind == POSITION:
        file.position = struct.unpack_from("<Q", data)[0]
    elif kind == END_OF_FILE:
        (size,) = struct.unpack_from("<q", data)
        if size < 0 or node.is_directory:
            raise StatusError(Status.INVALID_PARAMETER)
        call.process.files.resize(node, size)
    return _finish(call, iosb_at, 0)


def _set_basic(node: File, data: bytes) -> None:
    """FILE_BASIC_INFORMATION: a time of 0 or below and attributes of 0 stay as they are."""
    created, accessed, written, _, attributes = struct.unpack_from("<4qI", data)
    node.created = created if created > 0 else node.created
    node.accessed = accessed if accessed > 0 else node.accessed
    node.written = written if written > 0 else node.written
    if attributes:
        node.read_only = bool(attributes & FILE_ATTRIBUTE_READONLY)
        node.attributes = attributes & FILE_ATTRIBUTE_SETTABLE


def _rename(call: Call, node: File, data: bytes) -> None:
    """FILE_RENAME_INFORMATION: ReplaceIfExists 0, RootDirectory 8, FileNameLength 0x10, FileName 0x14."""
    replace, root, size = bool(data[0]), struct.unpack_from("<Q", data, 8)[0], struct.unpack_from("<I", data, 16)[0]
    name = data[20 : 20 + size].decode("utf-16-le", "surrogatepass")
    directory = None
    if root:
        folder = call.process.handles.get(root, FileObject).node
        directory = folder.path if folder is not None else None
    path = win32_path(name, directory)
    call.process.names.charge(path)
    call.process.files.rename(node, path, replace=replace)


def _dispose(call: Call, file: FileObject, node: File, *, delete: bool) -> None:
    if delete and (node.read_only or node.path == "C:"):
        raise StatusError(Status.CANNOT_DELETE)
    if delete and node.is_directory and call.process.files.listing(node):
        raise StatusError(Status.DIRECTORY_NOT_EMPTY)
    file.delete_on_close = delete


# --- directories


def _matches(pattern: str, name: str) -> bool:
    r"""Whether a file name fits a pattern of FindFirstFile: `*`, `?`, without case; `*.*` fits all.

    The wild cards `<`, `>` and `"` of the file system are taken as `*`, `?` and `.`.
    """
    pattern = pattern.translate(str.maketrans('<>"', "*?.")).lower()
    if pattern in ("", "*", "*.*"):
        return True
    pattern = pattern.replace("[", "[[]")
    return re.match(fnmatch.translate(pattern), name.lower()) is not None


def _directory_entry(name: str, node: File) -> bytes:
    """FILE_BOTH_DIR_INFORMATION with a NextEntryOffset of 0; no short name."""
    text = name.encode("utf-16-le", "surrogatepass")
    head = struct.pack("<II", 0, node.index & 0xFFFFFFFF) + _times(node)
    head += struct.pack("<QQIII", len(node.data), _allocated(node), node.all_attributes, len(text), 0)
    return head + bytes(2 + 24) + text


@service
def NtQueryDirectoryFile(call: Call) -> int:
    _, _, _, _, iosb_at, buffer, length, kind, single, pattern_at, restart = call.arguments
    memory = call.process.memory
    file, node = _file_of(call)
    if not node.is_directory:
        raise StatusError(Status.INVALID_PARAMETER)
    if u32(kind) != BOTH_DIRECTORY:
        raise StatusError(Status.INVALID_INFO_CLASS)
    first = file.listing is None
    if file.listing is None or boolean(restart):
        pattern = memory.unicode_string(pattern_at) if pattern_at else "*"
        parent = call.process.files.find(node.path.rpartition("\\")[0]) or node
        own = [] if node.path == "C:" else [(".", node), ("..", parent)]
        names = [*own, *((child.name, child) for child in call.process.files.listing(node))]
        file.listing = [(name, child) for name, child in names if _matches(pattern, name)]
    if not file.listing:
        raise StatusError(Status.NO_SUCH_FILE if first else Status.NO_MORE_FILES)
    data, last, left = b"", 0, u32(length)
    while file.listing:
        entry = _directory_entry(*file.listing[0])
        start = (len(data) + 7) & ~7
        if start + len(entry) > left:
            break
        if data:
            data = data[:last] + struct.pack("<I", start - last) + data[last + 4 :].ljust(start - last - 4, b"\0")
        data, last = data + entry, start
        file.listing.pop(0)
        if boolean(single):
            break
    if not data:
        raise StatusError(Status.BUFFER_OVERFLOW)
    memory.write(buffer, data)
    return _finish(call, iosb_at, len(data))


@service
def NtQueryFullAttributesFile(call: Call) -> int:
    attributes_at, buffer = call.arguments
    attributes = object_attributes(call, attributes_at)
    path = win32_path(attributes.name or "", None)
    node = call.process.files.find(path)
    if node is None:
        parent = call.process.files.find(path.rpartition("\\")[0])
        missing = parent is None or not parent.is_directory
        raise StatusError(Status.OBJECT_PATH_NOT_FOUND if missing else Status.OBJECT_NAME_NOT_FOUND)
    call.process.memory.write(buffer, _network_open(node))
    return Status.SUCCESS


@service
def NtFlushBuffersFile(call: Call) -> int:
    handle, iosb_at = call.arguments
    call.process.handles.get(handle, FileObject)
    return _finish(call, iosb_at, 0)


@service
def NtQueryVolumeInformationFile(call: Call) -> int:
    file = call.process.handles.get(call.arguments[0], FileObject)
    kind = u32(call.arguments[4])
    if kind == FS_DEVICE:
        device = FILE_DEVICE_DISK if file.node is not None else FILE_DEVICE_CONSOLE
        return _answer(call, struct.pack("<II", device, 0))
    if file.node is None:
        raise StatusError(Status.INVALID_DEVICE_REQUEST)
    match kind:
        case 1:
            return _answer(call, struct.pack("<QII?x", 0, SERIAL_NUMBER, 0, True), variable=True)
        case 3:
            return _answer(call, struct.pack("<QQII", VOLUME_CLUSTERS, FREE_CLUSTERS, 8, 512))
        case 5:
            name = "NTFS".encode("utf-16-le")
            # FILE_CASE_PRESERVED_NAMES, FILE_UNICODE_ON_DISK, FILE_PERSISTENT_ACLS is not kept
            return _answer(call, struct.pack("<III", 0x6, 255, len(name)) + name, variable=True)
        case _:
            raise StatusError(Status.INVALID_INFO_CLASS)
