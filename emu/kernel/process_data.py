"""Writes the user-mode structures of a process that tells readers its name and modules.

PEB, PEB_LDR_DATA with the entry of the program in its three lists, and RTL_USER_PROCESS_PARAMETERS. Layouts:
emu.process.layouts. The program is the only module: it calls the system itself and needs no DLL.
"""

from __future__ import annotations

import struct

from ..machine.paging import PageTables
from ..process.layouts import (
    LDR_DATA_TABLE_ENTRY,
    LDR_DATA_TABLE_ENTRY_SIZE,
    PEB,
    PEB_LDR_DATA,
    PEB_LDR_DATA_SIZE,
    RTL_USER_PROCESS_PARAMETERS,
    RTL_USER_PROCESS_PARAMETERS_SIZE,
    Layout,
)
from ..process.ldr_list import LDRP_ENTRY_PROCESSED
from ..process.peb import RTL_USER_PROC_PARAMS_NORMALIZED
from .images import LoadedImage

_LISTS = (
    ("InLoadOrderModuleList", "InLoadOrderLinks"),
    ("InMemoryOrderModuleList", "InMemoryOrderLinks"),
)


class UserWriter:
    """Writes fields of structures into the user half of ``tables``, whose pages are mapped."""

    def __init__(self, tables: PageTables) -> None:
        self._tables = tables

    def set(self, address: int, layout: Layout, values: dict[str, int]) -> None:
        """Set integer fields of the structure at ``address``."""
        for name, value in values.items():
            offset, size = layout[name]
            self._tables.write(address + offset, value.to_bytes(size, "little"))

    def text(self, address: int, layout: Layout, name: str, buffer: int, text: str) -> int:
        """Set a UNICODE_STRING whose text is at ``buffer``. Returns the address after the text and its NUL."""
        data = text.encode("utf-16-le")
        self._tables.write(buffer, data + b"\0\0")
        self._tables.write(address + layout[name][0], struct.pack("<HH4xQ", len(data), len(data) + 2, buffer))
        return buffer + len(data) + 2

    def link(self, *entries: int) -> None:
        """Write a circular list of the LIST_ENTRYs at these addresses."""
        for index, entry in enumerate(entries):
            following = entries[(index + 1) % len(entries)]
            self._tables.write(entry, struct.pack("<QQ", following, entries[index - 1]))


def write_process_data(
    tables: PageTables, peb: int, room: int, *, program: LoadedImage, path: str, session: int, created: int
) -> None:
    """Write the PEB at ``peb``, and at ``room`` (one page) what it points to.

    ``path`` is the program's path as the user sees it. ``created`` is the FILETIME at which it was loaded.
    """
    write = UserWriter(tables)
    ldr, entry, parameters = room, room + 0x60, room + 0x200
    text = parameters + RTL_USER_PROCESS_PARAMETERS_SIZE
    assert ldr + PEB_LDR_DATA_SIZE <= entry
    assert entry + LDR_DATA_TABLE_ENTRY_SIZE <= parameters
    image, base = program.image, program.base
    write.set(
        peb,
        PEB,
        {"ImageBaseAddress": base, "Ldr": ldr, "ProcessParameters": parameters, "SessionId": session},
    )
    write.set(ldr, PEB_LDR_DATA, {"Length": PEB_LDR_DATA_SIZE, "Initialized": 1})
    write.set(
        entry,
        LDR_DATA_TABLE_ENTRY,
        {
            "DllBase": base,
            "EntryPoint": program.entry_point,
            "SizeOfImage": image.size_of_image,
            "Flags": LDRP_ENTRY_PROCESSED,
            "ObsoleteLoadCount": 0xFFFF,
            "TimeDateStamp": image.time_date_stamp,
            "OriginalBase": image.image_base,
            "LoadTime": created,
        },
    )
    for head, links in _LISTS:
        write.link(ldr + PEB_LDR_DATA[head][0], entry + LDR_DATA_TABLE_ENTRY[links][0])
    write.link(ldr + PEB_LDR_DATA["InInitializationOrderModuleList"][0])  # the program is never in that list
    for links in ("InInitializationOrderLinks", "HashLinks"):
        write.link(entry + LDR_DATA_TABLE_ENTRY[links][0])
    name = path.rpartition("\\")[2]
    write.text(entry, LDR_DATA_TABLE_ENTRY, "BaseDllName", text + 2 * (len(path) - len(name)), name)
    text = write.text(entry, LDR_DATA_TABLE_ENTRY, "FullDllName", text, path)
    write.set(
        parameters,
        RTL_USER_PROCESS_PARAMETERS,
        {
            "MaximumLength": RTL_USER_PROCESS_PARAMETERS_SIZE,
            "Length": RTL_USER_PROCESS_PARAMETERS_SIZE,
            "Flags": RTL_USER_PROC_PARAMS_NORMALIZED,
            "EnvironmentSize": 4,
        },
    )
    strings = {
        "CurrentDirectory.DosPath": path.removesuffix(name),
        "ImagePathName": path,
        "CommandLine": path,
    }
    for field, value in strings.items():
        text = write.text(parameters, RTL_USER_PROCESS_PARAMETERS, field, text, value)
    write.set(parameters, RTL_USER_PROCESS_PARAMETERS, {"Environment": text})  # empty: two NULs
