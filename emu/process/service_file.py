"""Implements the system services for files.

The files are those of the process's file system (files.py). Output to the console is collected in ``Process.console``.
"""

from __future__ import annotations

import struct

from .files import FILE_ATTRIBUTE_READONLY, FILE_ATTRIBUTE_SETTABLE, FILE_CREATED, FILE_OPEN, File, win32_path
from .objects import FILE_APPEND_DATA, FILE_READ_DATA, FILE_WRITE_DATA, Event, FileObject
from .services import Call, object_attributes, service, u32
from .winnt import Status, StatusError

FILE_DELETE_ON_CLOSE = 0x1000  # wdm.h
_USE_FILE_POSITION = -2  # FILE_USE_FILE_POINTER_POSITION with HighPart -1
_WRITE_TO_END = -1  # FILE_WRITE_TO_END_OF_FILE with HighPart -1


def _open(call: Call, disposition: int, options: int, attributes_of_file: int) -> int:
    handle_at, access, attributes_at, iosb_at = call.arguments[:4]
    process, memory = call.process, call.process.memory
    memory.probe_write(handle_at, 8)
    memory.probe_write(iosb_at, 16)
    process.handles.admit()
    attributes = object_attributes(call, attributes_at)
    if attributes.name is None and not attributes.root:
        raise StatusError(Status.OBJECT_NAME_INVALID)
    root = None
    if attributes.root:
        directory = process.handles.get(attributes.root, FileObject).node
        if directory is None or not directory.is_directory:
            raise StatusError(Status.OBJECT_TYPE_MISMATCH)
        root = directory.path
    if root is None and (attributes.name or "").lower() in _CONSOLE_NAMES:
        target, information = FileObject(name=process.console_name, device="console"), 1
    else:
        node, information = process.files.create(win32_path(attributes.name or "", root), disposition, options)
        target = FileObject(name=node.object_name, node=node, delete_on_close=bool(options & FILE_DELETE_ON_CLOSE))
    granted = target.grant(u32(access))
    if target.node is not None:
        wants_write = granted & (FILE_WRITE_DATA | FILE_APPEND_DATA)
        if wants_write and (target.node.read_only or target.node.is_directory):
            raise StatusError(Status.ACCESS_DENIED)
        if information == FILE_CREATED:
            target.node.read_only = bool(attributes_of_file & FILE_ATTRIBUTE_READONLY)
            target.node.attributes = attributes_of_file & FILE_ATTRIBUTE_SETTABLE
        target.node.opened += 1
    memory.put_u64(handle_at, process.handles.insert(target, granted, attributes.attributes))
    memory.write(iosb_at, struct.pack("<QQ", Status.SUCCESS, information))
    return Status.SUCCESS


_CONSOLE_NAMES = frozenset({"\\??\\conout$", "\\??\\conin$", "\\??\\con"})


@service
def NtCreateFile(call: Call) -> int:
    _, _, _, _, _, file_attributes, _, disposition, options, _, _ = call.arguments
    return _open(call, u32(disposition), u32(options), u32(file_attributes))


@service
def NtOpenFile(call: Call) -> int:
    return _open(call, FILE_OPEN, u32(call.arguments[5]), 0)


def _complete(call: Call, transferred: int) -> int:
    """Complete a read or write: write IO_STATUS_BLOCK and signal the event, if there is one."""
    _, event, _, _, iosb_at = call.arguments[:5]
    call.process.memory.write(iosb_at, struct.pack("<QQ", Status.SUCCESS, transferred))
    if event:
        target = call.process.handles.get(event, Event)
        target.signaled = True
        call.process.scheduler.signal(target)
    return Status.SUCCESS


def _offset(call: Call, file: FileObject, node: File) -> int:
    offset_at = call.arguments[7]
    offset = call.process.memory.i64(offset_at) if offset_at else _USE_FILE_POSITION
    if offset == _USE_FILE_POSITION:
        return file.position
    if offset == _WRITE_TO_END:
        return len(node.data)
    if offset < 0:
        raise StatusError(Status.INVALID_PARAMETER)
    return offset


@service
def NtReadFile(call: Call) -> int:
    handle, _, _, _, iosb_at, buffer, length, _, _ = call.arguments
    memory = call.process.memory
    memory.probe_write(iosb_at, 16)
    file = call.process.handles.get(handle, FileObject, FILE_READ_DATA)
    length = u32(length)
    if file.node is None:
        return _complete(call, 0)  # the console has no input, so a read returns 0 bytes
    if file.node.is_directory:
        raise StatusError(Status.INVALID_PARAMETER)
    offset = _offset(call, file, file.node)
    if offset >= len(file.node.data) and length:
        raise StatusError(Status.END_OF_FILE)
    data = bytes(file.node.data[offset : offset + length])
    memory.write(buffer, data)
    file.position = offset + len(data)
    return _complete(call, len(data))


@service
def NtWriteFile(call: Call) -> int:
    handle, _, _, _, iosb_at, buffer, length, _, _ = call.arguments
    memory = call.process.memory
    memory.probe_write(iosb_at, 16)
    entry = call.process.handles.entry(handle)
    file = call.process.handles.get(handle, FileObject)
    if not entry.granted_access & (FILE_WRITE_DATA | FILE_APPEND_DATA):
        raise StatusError(Status.ACCESS_DENIED)
    length = u32(length)
    memory.probe_read(buffer, length)
    if file.node is None:
        console = call.process.console
        console += memory.read(buffer, call.process.meter.keep("console", console, length))
        return _complete(call, length)
    if file.node.is_directory:
        raise StatusError(Status.INVALID_PARAMETER)
    node = file.node
    offset = _offset(call, file, node) if entry.granted_access & FILE_WRITE_DATA else len(node.data)
    if length:
        call.process.files.extend(node, offset + length)
        node.data[offset : offset + length] = memory.read(buffer, length)
        node.written = call.process.files.now()
    file.position = offset + length
    return _complete(call, length)
