"""Reads minidumps into a ``Dump``."""

from __future__ import annotations

from ..memory.source import ByteSource
from .accounting import account
from .container import read_container
from .facts import Dump
from .handles import read_handle_operations, read_handles, read_tokens
from .memory import claim_stacks, read_memory64_list, read_memory_infos, read_memory_list
from .modules import read_function_tables, read_modules, read_unloaded_modules
from .system import read_comment, read_counters, read_misc_info, read_system_info
from .threads import read_exception, read_thread_infos, read_thread_names, read_threads

__all__ = ["Dump", "read_minidump"]

# SystemInfo comes first, because it determines the size of a CONTEXT. Stacks come last: they need the memory ranges.
_READERS = (
    read_container,
    read_system_info,
    read_misc_info,
    read_counters,
    read_threads,
    read_thread_infos,
    read_thread_names,
    read_exception,
    read_modules,
    read_unloaded_modules,
    read_function_tables,
    read_memory_list,
    read_memory64_list,
    read_memory_infos,
    read_handles,
    read_handle_operations,
    read_tokens,
    read_comment,
    claim_stacks,
)


def read_minidump(source: ByteSource) -> Dump:
    """Read a minidump. Never raises on content. The time is linear in the size of the file."""
    dump = Dump(source)
    for read in _READERS:
        read(dump)
    dump.accounting = account(dump)
    dump.found("accounting")
    return dump
