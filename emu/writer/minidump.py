"""Writes user minidumps (docs/format/minidump-container.md, docs/format/minidump-contents.md)."""

from __future__ import annotations

import ctypes

from ..constants import MINIDUMP_SIGNATURE, Hresult, StreamType
from ..plan.reopened import as_seen
from ..plan.user import Plan, plan_user
from ..request import DumpRefused, Request
from ..snapshot.process import ProcessSnapshot
from .dump import Dump, WriteResult
from .encode import NO_LOCATION, add_struct, location, utf16
from .faults import Faults
from .function_table_stream import add_function_tables
from .handle_streams import add_handle_data, add_handle_operations
from .layout import Layout, LayoutMap, LayoutOverflow, Section
from .memory_streams import add_memory, add_memory64_list, add_memory_info_list, add_memory_list
from .module_streams import add_module_list, add_unloaded_module_list
from .structs import MINIDUMP_DIRECTORY, MINIDUMP_HEADER, MINIDUMP_MEMORY64_LIST, MINIDUMP_THREAD_INFO_LIST
from .system_streams import (
    add_misc_info,
    add_process_vm_counters,
    add_system_info,
    add_system_memory_info,
    header_version,
    time_t,
)
from .thread_streams import add_exception, add_thread_info_list, add_thread_list, add_thread_names
from .token_stream import add_tokens

_S = StreamType


class Minidump(Dump[ProcessSnapshot, Plan]):
    """A user minidump."""

    def _decide(self, snapshot: ProcessSnapshot, request: Request) -> Plan:
        return plan_user(snapshot, request)

    def _lay_out(self, snapshot: ProcessSnapshot, plan: Plan, faults: Faults) -> Layout:
        return _lay_out(snapshot, plan, faults)

    def _freeze(self) -> LayoutMap:
        try:
            return super()._freeze()
        except LayoutOverflow as error:  # a freeze fills in RVAs and sizes only, so the dump is too long
            raise DumpRefused(
                Hresult.ERROR_FILE_TOO_LARGE, f"the dump is longer than 32-bit RVAs can address: {error}"
            ) from error


def dump_bytes(
    snapshot: ProcessSnapshot, request: Request, *, plan: Plan | None = None
) -> tuple[bytes, WriteResult[Plan]]:
    """Return a user minidump and its result. Raises as ``Minidump``."""
    return Minidump(snapshot, request, plan=plan).in_memory()


def _lay_out(snapshot: ProcessSnapshot, plan: Plan, faults: Faults) -> Layout:
    """Return all sections in the file order of docs/format/minidump-container.md#order-in-the-file.

    The memory of a Memory64List comes last (docs/format/minidump-memory.md#place-of-full-memory).
    """
    snapshot = as_seen(snapshot, plan.session, plan.engine)
    header, directory = Section("Header"), Section("Directory")
    strings, code_views = Section("Strings"), Section("CodeViews")
    contexts, exception_context = Section("ThreadContexts"), Section("ExceptionContext")
    handle_strings = Section("HandleStrings")
    memory, places = add_memory(snapshot, plan, faults)

    # The order of these calls is the order of the strings: CSD version, thread names, module names.
    streams: dict[int, Section] = {
        _S.SystemInfoStream: add_system_info(snapshot, strings),
        _S.MiscInfoStream: add_misc_info(snapshot, plan),
    }
    if plan.has(_S.ExceptionStream):
        streams[_S.ExceptionStream] = add_exception(snapshot, plan, exception_context)
    streams[_S.ThreadListStream] = add_thread_list(snapshot, plan, contexts, places)
    if plan.has(_S.ThreadInfoListStream):
        streams[_S.ThreadInfoListStream] = add_thread_info_list(snapshot)
    reserved = _thread_info_reserved(plan)
    names = add_thread_names(snapshot, strings) if plan.has(_S.ThreadNamesStream) else None
    streams[_S.ModuleListStream] = add_module_list(snapshot, plan, strings, code_views)
    if plan.has(_S.UnloadedModuleListStream):
        streams[_S.UnloadedModuleListStream] = add_unloaded_module_list(snapshot, plan, strings)
    if plan.has(_S.FunctionTableStream):
        rva = _front_size(plan) + reserved.size + sum(section.size for section in streams.values())
        streams[_S.FunctionTableStream] = add_function_tables(snapshot, rva, plan.engine.function_table_size)
    if plan.has(_S.TokenStream):
        streams[_S.TokenStream] = add_tokens(snapshot)
    streams[_S.SystemMemoryInfoStream] = add_system_memory_info(snapshot, plan)
    streams[_S.ProcessVmCountersStream] = add_process_vm_counters(snapshot, plan)
    if names is not None:
        streams[_S.ThreadNamesStream] = names
    in_front = [*streams.values(), strings, exception_context, contexts, code_views]
    in_front.insert(in_front.index(streams[_S.ThreadListStream]) + 1, reserved)
    if plan.comment is not None:
        kind, section = _comment(plan.comment)
        streams[kind] = section
        in_front.append(section)
    for stream in plan.user_streams:
        streams[stream.type] = Section(f"UserStream[{stream.type:#x}]")
        streams[stream.type].add(f"UserStream[{stream.type:#x}]", "user stream", stream.data)
        in_front.append(streams[stream.type])

    behind: list[Section] = []
    if plan.has(_S.HandleDataStream):
        streams[_S.HandleDataStream] = add_handle_data(snapshot, handle_strings)
        behind += [handle_strings, streams[_S.HandleDataStream]]
    if plan.has(_S.HandleOperationListStream):
        streams[_S.HandleOperationListStream] = add_handle_operations(snapshot)
        behind.append(streams[_S.HandleOperationListStream])
    if plan.has(_S.MemoryInfoListStream):
        streams[_S.MemoryInfoListStream] = add_memory_info_list(snapshot)
        behind.append(streams[_S.MemoryInfoListStream])
    if plan.full_memory:
        streams[_S.Memory64ListStream] = add_memory64_list(plan, memory)
        body = [*in_front, _memory64_reserved(), *behind, streams[_S.Memory64ListStream], memory]
    else:
        streams[_S.MemoryListStream] = add_memory_list(plan, places)
        body = [*in_front, streams[_S.MemoryListStream], memory, *behind]

    _add_header(header, snapshot, plan, directory)
    for index, planned in enumerate(plan.streams):
        add_struct(directory, f"Directory[{index}]", MINIDUMP_DIRECTORY, {
            "StreamType": planned.type,
            "Location": location(streams[planned.type]),
        })  # fmt: skip
    for index in range(len(plan.streams), plan.directory_entries):
        add_struct(directory, f"Directory[{index}]", MINIDUMP_DIRECTORY, {
            "StreamType": _S.UnusedStream,
            "Location": NO_LOCATION,
        })  # fmt: skip
    layout = Layout()
    for section in (header, directory, *body):
        layout.place(section)
    return layout


def _thread_info_reserved(plan: Plan) -> Section:
    """Return the zeros behind ThreadList without ThreadInfoList: the size of its header. No stream holds them.

    docs/format/minidump-container.md#order-in-the-file
    """
    section = Section("ThreadInfoReserved")
    if not plan.has(_S.ThreadInfoListStream):
        section.add(section.path, "padding", bytes(ctypes.sizeof(MINIDUMP_THREAD_INFO_LIST)))
    return section


def _memory64_reserved() -> Section:
    """Return the zeros in front of the handle data with Memory64List: the size of its header. No stream holds them.

    docs/format/minidump-container.md#order-in-the-file
    """
    section = Section("Memory64Reserved")
    section.add(section.path, "padding", bytes(ctypes.sizeof(MINIDUMP_MEMORY64_LIST)))
    return section


def _front_size(plan: Plan) -> int:
    """Bytes of the header and the directory."""
    return ctypes.sizeof(MINIDUMP_HEADER) + plan.directory_entries * ctypes.sizeof(MINIDUMP_DIRECTORY)


def _add_header(section: Section, snapshot: ProcessSnapshot, plan: Plan, directory: Section) -> None:
    """Append MINIDUMP_HEADER (docs/format/minidump-container.md#header)."""
    add_struct(section, "Header", MINIDUMP_HEADER, {
        "Signature": MINIDUMP_SIGNATURE,
        "Version": header_version(plan.engine),
        "NumberOfStreams": plan.directory_entries,
        "StreamDirectoryRva": directory.start,
        "TimeDateStamp": time_t(snapshot.time),
        "Flags": plan.flags,
    }, zero=["CheckSum"])  # fmt: skip


def _comment(comment: str | bytes) -> tuple[StreamType, Section]:
    """Return CommentStreamW (UTF-16LE) for text, CommentStreamA (ANSI) for bytes. A NUL ends it; there is no length.

    docs/format/minidump-user-streams.md#comment-streams
    """
    if isinstance(comment, bytes):
        kind, section, data, end = _S.CommentStreamA, Section("CommentA"), comment, b"\0"
    else:
        kind, section, data, end = _S.CommentStreamW, Section("CommentW"), utf16(comment), b"\0\0"
    fields = {"Text": (0, len(data)), "Terminator": (len(data), len(end))}
    section.add(section.path, kind.name, data + end, fields=fields)
    return kind, section
