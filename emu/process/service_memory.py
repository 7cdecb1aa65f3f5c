"""Implements the system services for virtual memory and sections.

Signatures: emu/images/services.toml. Semantics: ntifs.h reference pages.
"""

from __future__ import annotations

import struct

from ..constants import (
    MEM_MAPPED,
    PAGE_EXECUTE_READ,
    PAGE_EXECUTE_READWRITE,
    PAGE_READONLY,
    PAGE_READWRITE,
    PAGE_WRITECOPY,
)
from .address_space import page_ceiling, valid_protection
from .files import File, FileSystem
from .handles import OBJ_OPENIF
from .objects import FILE_READ_DATA, SECTION_MAP_EXECUTE, SECTION_MAP_READ, SECTION_MAP_WRITE, FileObject, Section
from .services import Call, object_attributes, own_process, path_of, service, u32
from .winnt import ALLOCATION_GRANULARITY, PAGE_SIZE, SEC_COMMIT, SEC_IMAGE, SEC_RESERVE, Status, StatusError

MEMORY_BASIC_INFORMATION_CLASS = 0
_SECTION_PROTECTIONS = {
    # protection of a view: access that the section handle must have
    PAGE_READONLY: SECTION_MAP_READ,
    PAGE_WRITECOPY: SECTION_MAP_READ,
    PAGE_READWRITE: SECTION_MAP_READ | SECTION_MAP_WRITE,
    PAGE_EXECUTE_READ: SECTION_MAP_READ | SECTION_MAP_EXECUTE,
    PAGE_EXECUTE_READWRITE: SECTION_MAP_READ | SECTION_MAP_WRITE | SECTION_MAP_EXECUTE,
}
_WRITABLE_SECTIONS = (PAGE_READWRITE, PAGE_EXECUTE_READWRITE)
_EXECUTABLE_SECTIONS = (PAGE_EXECUTE_READ, PAGE_EXECUTE_READWRITE)


@service
def NtAllocateVirtualMemory(call: Call) -> int:
    process_handle, base_at, _, size_at, kind, protect = call.arguments
    own_process(call, process_handle)
    memory = call.process.memory
    base, size = memory.u64(base_at), memory.u64(size_at)
    memory.probe_write(base_at, 8)
    memory.probe_write(size_at, 8)
    memory.space.refuse_secured(base)
    base, size = memory.space.allocate(base, size, u32(kind), u32(protect))
    memory.put_u64(base_at, base)
    memory.put_u64(size_at, size)
    return Status.SUCCESS


@service
def NtFreeVirtualMemory(call: Call) -> int:
    process_handle, base_at, size_at, kind = call.arguments
    own_process(call, process_handle)
    memory = call.process.memory
    base, size = memory.u64(base_at), memory.u64(size_at)
    memory.probe_write(base_at, 8)
    memory.probe_write(size_at, 8)
    memory.space.refuse_secured(base)
    base, size = memory.space.free(base, size, u32(kind))
    memory.put_u64(base_at, base)
    memory.put_u64(size_at, size)
    return Status.SUCCESS


@service
def NtProtectVirtualMemory(call: Call) -> int:
    process_handle, base_at, size_at, protect, old_at = call.arguments
    own_process(call, process_handle)
    memory = call.process.memory
    base, size = memory.u64(base_at), memory.u64(size_at)
    for address, length in ((base_at, 8), (size_at, 8), (old_at, 4)):
        memory.probe_write(address, length)
    memory.space.refuse_secured(base)
    base, size, old = memory.space.protect(base, size, u32(protect))
    memory.put_u64(base_at, base)
    memory.put_u64(size_at, size)
    memory.put_u32(old_at, old)
    return Status.SUCCESS


@service
def NtQueryVirtualMemory(call: Call) -> int:
    process_handle, base, information_class, buffer, length, returned_at = call.arguments
    own_process(call, process_handle)
    if u32(information_class) != MEMORY_BASIC_INFORMATION_CLASS:
        raise StatusError(Status.INVALID_INFO_CLASS)
    # MEMORY_BASIC_INFORMATION, amd64 (winnt.h)
    if length < 0x30:
        raise StatusError(Status.INFO_LENGTH_MISMATCH)
    memory = call.process.memory
    row = memory.space.query(base)
    fields = row.base, row.allocation_base, row.allocation_protect, row.size, row.state, row.protect, row.type
    memory.write(buffer, struct.pack("<QQI4xQIII4x", *fields))
    if returned_at:
        memory.put_u64(returned_at, 0x30)
    return Status.SUCCESS


@service
def NtReadVirtualMemory(call: Call) -> int:
    process_handle, base, buffer, size, read_at = call.arguments
    own_process(call, process_handle)
    memory = call.process.memory
    memory.copy(buffer, base, size)
    if read_at:
        memory.put_u64(read_at, size)
    return Status.SUCCESS


@service
def NtWriteVirtualMemory(call: Call) -> int:
    process_handle, base, buffer, size, written_at = call.arguments
    own_process(call, process_handle)
    memory = call.process.memory
    memory.copy(base, buffer, size)
    if written_at:
        memory.put_u64(written_at, size)
    return Status.SUCCESS


@service
def NtCreateSection(call: Call) -> int:
    handle_at, access, attributes_at, size_at, protect, kind, file_handle = call.arguments
    process, memory = call.process, call.process.memory
    memory.probe_write(handle_at, 8)
    process.handles.admit()
    protect, kind = u32(protect), u32(kind)
    attributes = object_attributes(call, attributes_at)
    path = path_of(call, attributes)
    if path is not None and (existing := process.names.find(path)) is not None:
        if not attributes.attributes & OBJ_OPENIF:
            raise StatusError(Status.OBJECT_NAME_COLLISION)
        if not isinstance(existing, Section):
            raise StatusError(Status.OBJECT_TYPE_MISMATCH)
        value = process.handles.insert(existing, existing.grant(u32(access)), attributes.attributes)
        memory.put_u64(handle_at, value)
        return Status.OBJECT_NAME_EXISTS
    if kind & SEC_IMAGE or not kind & (SEC_COMMIT | SEC_RESERVE):
        raise StatusError(Status.INVALID_PARAMETER)  # only NtxMapDll creates SEC_IMAGE sections
    if protect not in _SECTION_PROTECTIONS:
        raise StatusError(Status.INVALID_PAGE_PROTECTION)
    size = memory.u64(size_at) if size_at else 0
    contents = b""
    if file_handle:
        file = process.handles.get(file_handle, FileObject, FILE_READ_DATA)
        if file.node is None:
            raise StatusError(Status.INVALID_PARAMETER)
        size = _extend(process.files, file.node, size, writable=protect in _WRITABLE_SECTIONS)
        contents = bytes(file.node.data[:size])
    if size == 0:
        raise StatusError(Status.INVALID_PARAMETER_4)
    pages = page_ceiling(size) // PAGE_SIZE
    physical = memory.new_pages(pages)
    memory.share(physical, pages)
    section = Section(size=size, protect=protect, physical=physical, pages=pages)
    memory.fill(physical, contents)
    if path is not None:
        try:
            process.names.add(path, section)
        except StatusError:
            memory.unshare(physical, pages)
            raise
    memory.put_u64(handle_at, process.handles.insert(section, section.grant(u32(access)), attributes.attributes))
    return Status.SUCCESS


def _extend(files: FileSystem, node: File, size: int, *, writable: bool) -> int:
    """The size in bytes of a section on a file. 0 means the file's size; a larger size extends the file.

    Raises MAPPED_FILE_SIZE_ZERO, SECTION_TOO_BIG, DISK_FULL.
    """
    if size == 0:
        if not node.data:
            raise StatusError(Status.MAPPED_FILE_SIZE_ZERO)
        return len(node.data)
    if size > len(node.data):
        if not writable:
            raise StatusError(Status.SECTION_TOO_BIG)
        files.extend(node, size)
    return size


@service
def NtMapViewOfSection(call: Call) -> int:
    section_handle, process_handle, base_at, _, _, offset_at, size_at, _, _, protect = call.arguments
    own_process(call, process_handle)
    memory = call.process.memory
    protect = u32(protect)
    if not valid_protection(protect) or protect not in _SECTION_PROTECTIONS:
        raise StatusError(Status.INVALID_PAGE_PROTECTION)
    section = call.process.handles.get(section_handle, Section, _SECTION_PROTECTIONS[protect])
    if protect in _WRITABLE_SECTIONS and section.protect not in _WRITABLE_SECTIONS:
        raise StatusError(Status.SECTION_PROTECTION)
    if protect in _EXECUTABLE_SECTIONS and section.protect not in _EXECUTABLE_SECTIONS:
        raise StatusError(Status.SECTION_PROTECTION)
    base, size = memory.u64(base_at), memory.u64(size_at)
    offset = memory.u64(offset_at) if offset_at else 0
    memory.probe_write(base_at, 8)
    memory.probe_write(size_at, 8)
    if offset % ALLOCATION_GRANULARITY or base % ALLOCATION_GRANULARITY:
        raise StatusError(Status.INVALID_PARAMETER)
    if offset >= section.size or size > section.size - offset:
        raise StatusError(Status.INVALID_VIEW_SIZE)
    size = page_ceiling(size or section.size - offset)
    base = base or memory.space.find_free(size)
    if base < ALLOCATION_GRANULARITY:
        raise StatusError(Status.CONFLICTING_ADDRESSES)
    if protect == PAGE_WRITECOPY:
        # A copy-on-write view gets its own pages at once. It does not see later writes through other views.
        memory.map_private(base, size, protect, MEM_MAPPED)
        memory.poke(base, memory.physical(section.physical + offset, size))
    else:
        memory.map_view(base, size, section.physical + offset, protect, MEM_MAPPED)
        section.views.add(base)
        call.process.views[base] = section
    memory.put_u64(base_at, base)
    memory.put_u64(size_at, size)
    return Status.SUCCESS


@service
def NtUnmapViewOfSection(call: Call) -> int:
    process_handle, base = call.arguments
    own_process(call, process_handle)
    if call.process.loader.covering(base) is not None:
        raise StatusError(Status.NOT_MAPPED_VIEW)  # NtxUnmapDll unmaps images, because it updates the loader's lists
    start, _ = call.process.memory.unmap_view(base)
    section = call.process.views.pop(start, None)
    if section is not None:
        section.views.remove(start)
        call.process.drop_section(section)
    return Status.SUCCESS
