"""Writes the thread streams, the contexts and ExceptionStream.

Formats: docs/format/minidump-threads.md, docs/format/minidump-exception.md.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping

from ..plan.user import Plan
from ..snapshot.process import ProcessSnapshot
from .contexts import add_context, add_exception_context, context_size
from .encode import add_string, add_struct, location
from .layout import Label, LayoutError, Section
from .structs import (
    MINIDUMP_EXCEPTION_STREAM,
    MINIDUMP_THREAD,
    MINIDUMP_THREAD_INFO,
    MINIDUMP_THREAD_INFO_LIST,
    MINIDUMP_THREAD_LIST,
    MINIDUMP_THREAD_NAME,
    MINIDUMP_THREAD_NAME_LIST,
)

MAXIMUM_PARAMETERS = 15  # winnt.h EXCEPTION_MAXIMUM_PARAMETERS


def add_thread_list(
    snapshot: ProcessSnapshot, plan: Plan, contexts: Section, memory: Mapping[tuple[int, int], Label]
) -> Section:
    """Return ThreadList, and append every thread's context to ``contexts``.

    ``memory`` gives the label of each MemoryList range by (start, end). With Memory64List the RVA of a stack is 0
    (docs/format/minidump-threads.md#stack-with-full-memory).
    """
    section = Section("ThreadList")
    form = snapshot.system.architecture, plan.xstate
    add_struct(section, "ThreadList", MINIDUMP_THREAD_LIST, {"NumberOfThreads": len(snapshot.threads)})
    for index, (thread, stack) in enumerate(zip(snapshot.threads, plan.stacks, strict=True)):
        path = f"ThreadList.Threads[{index}]"
        add_struct(section, path, MINIDUMP_THREAD, {
            "ThreadId": thread.thread_id,
            "SuspendCount": thread.suspend_count,
            "PriorityClass": thread.priority_class,
            "Priority": thread.priority & 0xFFFFFFFF,  # signed, in a ULONG32
            "Teb": thread.teb,
            "Stack": {
                "StartOfMemoryRange": stack.start,
                "Memory": {
                    "DataSize": stack.size,
                    "Rva": memory[stack.start, stack.end] if stack.listed else 0,
                },
            },
            "ThreadContext": {
                "DataSize": context_size(*form),
                "Rva": add_context(
                    contexts, f"{path}.Context", thread.context, *form, triage=plan.triage, thread=index
                ),
            },
        })  # fmt: skip
    return section


def add_thread_info_list(snapshot: ProcessSnapshot) -> Section:
    """Return ThreadInfoList in the order of ThreadList. DumpFlags is 0: no thread is the writer's, none is invalid.

    docs/format/minidump-threads.md#thread-info-list
    """
    section = Section("ThreadInfoList")
    add_struct(section, "ThreadInfoList", MINIDUMP_THREAD_INFO_LIST, {
        "SizeOfHeader": ctypes.sizeof(MINIDUMP_THREAD_INFO_LIST),
        "SizeOfEntry": ctypes.sizeof(MINIDUMP_THREAD_INFO),
        "NumberOfEntries": len(snapshot.threads),
    })  # fmt: skip
    for index, thread in enumerate(snapshot.threads):
        add_struct(section, f"ThreadInfoList.Entries[{index}]", MINIDUMP_THREAD_INFO, {
            "ThreadId": thread.thread_id,
            "ExitStatus": thread.exit_status,
            "CreateTime": thread.create_time,
            "ExitTime": thread.exit_time,
            "KernelTime": thread.kernel_time,
            "UserTime": thread.user_time,
            "StartAddress": thread.start_address,
            "Affinity": thread.affinity,
        }, zero=["DumpFlags", "DumpError"])  # fmt: skip
    return section


def add_thread_names(snapshot: ProcessSnapshot, strings: Section) -> Section:
    """Return ThreadNames with the named threads only. The names go to ``strings``.

    docs/format/minidump-threads.md#threads-of-the-name-list
    """
    named = [(thread.thread_id, thread.name) for thread in snapshot.threads if thread.name is not None]
    section = Section("ThreadNames")
    add_struct(section, "ThreadNames", MINIDUMP_THREAD_NAME_LIST, {"NumberOfThreadNames": len(named)})
    for index, (thread_id, name) in enumerate(named):
        path = f"ThreadNames.ThreadNames[{index}]"
        rva = add_string(strings, f"{path}.Name", name)
        add_struct(section, path, MINIDUMP_THREAD_NAME, {"ThreadId": thread_id, "RvaOfThreadName": rva})
    return section


def add_exception(snapshot: ProcessSnapshot, plan: Plan, context: Section) -> Section:
    """Return Exception. Its context is a separate record in ``context``, never the record of the thread.

    docs/format/minidump-exception.md#context-of-the-exception. Raises LayoutError without an exception, or with more
    than 15 parameters.
    """
    event = snapshot.exception
    if event is None:
        raise LayoutError("Exception: the snapshot has no exception")
    if len(event.information) > MAXIMUM_PARAMETERS:
        raise LayoutError(f"Exception: {len(event.information)} parameters, expected at most {MAXIMUM_PARAMETERS}")
    add_exception_context(context, "Exception.Context", event.context, snapshot.system.architecture, plan)
    section = Section("Exception")
    add_struct(section, "Exception", MINIDUMP_EXCEPTION_STREAM, {
        "ThreadId": event.thread_id,
        "ExceptionRecord": {
            "ExceptionCode": event.code,
            "ExceptionFlags": event.flags,
            "ExceptionRecord": event.record,
            "ExceptionAddress": event.address,
            "NumberParameters": len(event.information),
            "__unusedAlignment": 0,
            "ExceptionInformation": event.information,
        },
        "ThreadContext": location(context),
    }, zero=["__alignment"])  # fmt: skip
    return section
