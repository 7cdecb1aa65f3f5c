"""Writes ModuleListStream and UnloadedModuleListStream (docs/format/minidump-modules.md)."""

from __future__ import annotations

import ctypes
from typing import Any

from ..plan.filters import base_name
from ..plan.user import Plan
from ..snapshot.process import Module, ProcessSnapshot
from .encode import NO_LOCATION, add_string, add_struct
from .layout import FieldMap, Section
from .structs import (
    MINIDUMP_MODULE,
    MINIDUMP_MODULE_LIST,
    MINIDUMP_UNLOADED_MODULE,
    MINIDUMP_UNLOADED_MODULE_LIST,
    VS_FIXEDFILEINFO,
)

_NO_VERSION = (0,) * 13
"""VS_FIXEDFILEINFO of an image without version resource (docs/format/minidump-modules.md#version-information)."""
_VERSION_FIELDS = tuple(name for name, *_ in VS_FIXEDFILEINFO._fields_)


def add_module_list(snapshot: ProcessSnapshot, plan: Plan, strings: Section, code_views: Section) -> Section:
    """Return ModuleList in load order. Names go to ``strings``, the unchanged CodeView records to ``code_views``."""
    section = Section("ModuleList")
    add_struct(section, "ModuleList", MINIDUMP_MODULE_LIST, {"NumberOfModules": len(snapshot.modules)})
    for index, module in enumerate(snapshot.modules):
        path = f"ModuleList.Modules[{index}]"
        add_struct(section, path, MINIDUMP_MODULE, {
            "BaseOfImage": module.base,
            "SizeOfImage": module.size,
            "CheckSum": module.checksum,
            "TimeDateStamp": module.time_date_stamp,
            "ModuleNameRva": add_string(strings, f"{path}.Name", _name(plan, module.name)),
            "VersionInfo": dict(zip(_VERSION_FIELDS, module.version_info or _NO_VERSION, strict=True)),
            "CvRecord": _code_view(code_views, path, module),
            "MiscRecord": NO_LOCATION,
            # Documented as reserved, but dbghelp 6.2 and 10.0 store DllCharacteristics here:
            # docs/format/minidump-modules.md#reserved-fields
            "Reserved0": module.dll_characteristics,
        }, zero=["Reserved1"])  # fmt: skip
    return section


def _name(plan: Plan, name: str) -> str:
    return base_name(name) if plan.base_names else name


def _code_view(section: Section, path: str, module: Module) -> Any:
    """Append the module's CodeView record and return its location; {0, 0} without a record or for an empty one.

    docs/format/minidump-modules.md#place-of-a-debug-record
    """
    if module.code_view is None or not module.code_view.record:
        return NO_LOCATION
    record = module.code_view.record
    kind, fields = _code_view_fields(record)
    return {"DataSize": len(record), "Rva": section.add(f"{path}.CodeView", kind, record, fields=fields)}


def _code_view_fields(record: bytes) -> tuple[str, FieldMap]:
    """Return type and fields of a PDB 7.0 or PDB 2.0 record, for the map; of other records no fields.

    docs/format/minidump-modules.md#codeview-record
    """
    if record[:4] == b"RSDS" and len(record) > 24:
        return "CV_INFO_PDB70", {
            "CvSignature": (0, 4), "Signature": (4, 16), "Age": (20, 4), "PdbFileName": (24, len(record) - 24),
        }  # fmt: skip
    if record[:4] == b"NB10" and len(record) > 16:
        return "CV_INFO_PDB20", {
            "CvSignature": (0, 4), "Offset": (4, 4), "Signature": (8, 4), "Age": (12, 4),
            "PdbFileName": (16, len(record) - 16),
        }  # fmt: skip
    return "CodeView", {}


def add_unloaded_module_list(snapshot: ProcessSnapshot, plan: Plan, strings: Section) -> Section:
    """Return UnloadedModuleList, oldest module first. Names go to ``strings``.

    docs/format/minidump-modules.md#unloaded-modules
    """
    section = Section("UnloadedModuleList")
    add_struct(section, "UnloadedModuleList", MINIDUMP_UNLOADED_MODULE_LIST, {
        "SizeOfHeader": ctypes.sizeof(MINIDUMP_UNLOADED_MODULE_LIST),
        "SizeOfEntry": ctypes.sizeof(MINIDUMP_UNLOADED_MODULE),
        "NumberOfEntries": len(snapshot.unloaded_modules),
    })  # fmt: skip
    for index, module in enumerate(snapshot.unloaded_modules):
        path = f"UnloadedModuleList.Entries[{index}]"
        add_struct(section, path, MINIDUMP_UNLOADED_MODULE, {
            "BaseOfImage": module.base,
            "SizeOfImage": module.size,
            "CheckSum": module.checksum,
            "TimeDateStamp": module.time_date_stamp,
            "ModuleNameRva": add_string(strings, f"{path}.Name", _name(plan, module.name)),
        })  # fmt: skip
    return section
