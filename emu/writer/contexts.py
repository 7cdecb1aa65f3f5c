"""Writes context records of the three architectures, with or without extended state.

Format: docs/format/minidump-contexts.md.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any

from ..plan.filters import FILL, TriageFilter
from ..plan.triage_stacks import INTEGER_REGISTERS
from ..plan.user import Plan
from ..snapshot.process import Context, XstateConfiguration
from ..snapshot.processor_state import ARM64_REGISTERS
from .context_structs import CONTEXT, CONTEXT_ARM64, CONTEXT_EX, CONTEXT_X86, XSAVE_AREA_HEADER
from .encode import add_struct
from .layout import Label, LayoutError, Section
from .structs import Packed

CONTEXTS: Mapping[str, type[Packed]] = {"amd64": CONTEXT, "x86": CONTEXT_X86, "arm64": CONTEXT_ARM64}
_CONTEXT_XSTATE = 0x40
"""winnt.h: the bit of ContextFlags for extended state, on amd64 and x86.

docs/format/minidump-contexts.md#parts-of-contextflags
"""
_FIRST_EXTENDED = 2
"""The first XSAVE component outside the legacy region, which holds components 0 (x87) and 1 (SSE)."""
_LEGACY_REGION = 512
"""Bytes of the XSAVE area's legacy region (Intel SDM vol. 1, 13.4.1). CONTEXT holds it, the XState chunk does not."""
_XSAVE_ALIGNMENT = 64
_COMPACTED = 1 << 63
"""Bit of CompactionMask: components follow each other (Intel SDM vol. 1, 13.4.3).

docs/format/minidump-contexts.md#extended-state-chunk
"""
_FLOATS = {
    "amd64": {"FltSave": 512, "VectorRegister": 26 * 16},
    "x86": {"FloatSave": 112, "ExtendedRegisters": 512},
    "arm64": {},
}
"""Floating point state that FILTER_TRIAGE fills: fields and their bytes, by architecture."""
_NOT_HELD = (
    *(f"P{index}Home" for index in range(1, 7)), "VectorRegister", "VectorControl", "DebugControl", "LastBranchToRip",
    "LastBranchFromRip", "LastExceptionToRip", "LastExceptionFromRip",
)  # fmt: skip
"""Fields of the amd64 CONTEXT that a snapshot does not hold. They are zero."""


def context_size(architecture: str, xstate: XstateConfiguration | None = None) -> int:
    """Return the bytes of each context record of a dump. ``xstate`` None: records without extended state."""
    size = ctypes.sizeof(CONTEXTS[architecture])
    return size if xstate is None else _chunk_start(size) + _chunk_length(xstate)


def add_context(
    section: Section,
    path: str,
    context: Context,
    architecture: str,
    xstate: XstateConfiguration | None = None,
    *,
    triage: TriageFilter | None = None,
    thread: int = 0,
) -> Label:
    """Append one context record of ``context_size`` bytes and return the label of its start.

    With ``xstate`` a CONTEXT_EX and a compacted XState chunk follow the fixed CONTEXT. The chunk starts at a multiple
    of 64 from the start of the record (docs/format/minidump-contexts.md#extended-state-chunk). ``triage`` filters the
    registers of the thread with the index ``thread``.

    Raises LayoutError when the context is of another architecture, or when its extended state does not fit ``xstate``.
    """
    values = _values(path, context, architecture, xstate_bit=xstate is not None)
    if triage is not None:
        values = _without_floats(values, architecture)
        values |= {name: triage.register(thread, values[name]) for name in INTEGER_REGISTERS[architecture]}
        if architecture == "x86" and triage.fills_flags:
            values["EFlags"] = triage.fill
    start = _add_values(section, path, values, architecture)
    if xstate is not None:
        _add_extended(section, path, context, ctypes.sizeof(CONTEXTS[architecture]), xstate)
    return start


def add_exception_context(section: Section, path: str, context: Context, architecture: str, plan: Plan) -> Label:
    """Append the context of the exception and return the label of its start. Raises LayoutError as ``add_context``.

    FILTER_TRIAGE takes only its floating point state. By some engines it has no extended state, but its bit
    (docs/format/minidump-contexts.md#extended-state-of-the-exception).
    """
    if plan.triage is None and not plan.engine.plain_exception_context:
        return add_context(section, path, context, architecture, plan.xstate)
    values = _values(path, context, architecture, xstate_bit=plan.xstate is not None)
    if plan.triage is not None:
        values = _without_floats(values, architecture)
    return _add_values(section, path, values, architecture)


def _values(path: str, context: Context, architecture: str, *, xstate_bit: bool) -> dict[str, Any]:
    values = _VALUES[architecture](path, context)
    if xstate_bit:
        values["ContextFlags"] |= _CONTEXT_XSTATE
    return values


def _without_floats(values: dict[str, Any], architecture: str) -> dict[str, Any]:
    """Return the values with fill bytes in place of the floating point state.

    docs/format/minidump-filters.md#filter-triage-contexts
    """
    return values | {name: bytes([FILL]) * size for name, size in _FLOATS[architecture].items()}


def _add_values(section: Section, path: str, values: Mapping[str, Any], architecture: str) -> Label:
    struct = CONTEXTS[architecture]
    zero = [name for name, *_ in struct._fields_ if name in _NOT_HELD and name not in values]
    try:
        return add_struct(section, path, struct, values, zero=zero)
    except TypeError as error:
        raise LayoutError(str(error)) from error


def _amd64(path: str, context: Context) -> dict[str, Any]:
    return {
        **context.as_mapping(),
        "ContextFlags": context.context_flags,
        "FltSave": _sized(path, "FXSAVE image", context.fxsave, 512),
    }


def _x86(path: str, context: Context) -> dict[str, Any]:
    return {
        **context.as_mapping(),
        "ContextFlags": context.context_flags,
        "FloatSave": _sized(path, "FLOATING_SAVE_AREA", context.float_save, 112),
        "ExtendedRegisters": _sized(path, "FXSAVE image", context.fxsave, 512),
    }


def _arm64(path: str, context: Context) -> dict[str, Any]:
    if tuple(name for name, _ in context.registers) != ARM64_REGISTERS:
        raise LayoutError(f"{path}: expected the registers of arm64 in the order of ARM64_REGISTERS")
    values: dict[str, Any] = {"ContextFlags": context.context_flags, "V": _sized(path, "V", context.v, 512)}
    for name, value in context.registers:
        array = name[:3]
        if array in ("Bcr", "Bvr", "Wcr", "Wvr"):  # the registers Bcr0 to Bcr7 are elements 0 to 7 of the field Bcr
            values.setdefault(array, []).append(value)
        else:
            values[name] = value
    return values


_VALUES = {"amd64": _amd64, "x86": _x86, "arm64": _arm64}


def _sized(path: str, name: str, data: bytes, size: int) -> bytes:
    if len(data) != size:
        raise LayoutError(f"{path}: {name} of {len(data)} bytes, expected {size}")
    return data


# --- extended state --------------------------------------------------------------------------------------------------


def _chunk_start(legacy_size: int) -> int:
    end = legacy_size + ctypes.sizeof(CONTEXT_EX)
    return -(-end // _XSAVE_ALIGNMENT) * _XSAVE_ALIGNMENT


def _chunk_length(xstate: XstateConfiguration) -> int:
    """Bytes of the chunk, with room for every enabled component: all records of a dump have one size.

    docs/format/minidump-contexts.md#extended-state-description
    """
    ends = [_LEGACY_REGION + ctypes.sizeof(XSAVE_AREA_HEADER)]
    ends += [feature.offset + feature.size for feature in xstate.features[_FIRST_EXTENDED:]]
    return max(ends) - _LEGACY_REGION


def _add_extended(section: Section, path: str, context: Context, size: int, xstate: XstateConfiguration) -> None:
    start, length = _chunk_start(size), _chunk_length(xstate)
    gap = start - size - ctypes.sizeof(CONTEXT_EX)
    add_struct(section, f"{path}.ContextEx", CONTEXT_EX, {
        "All": {"Offset": -size, "Length": start + length},
        "Legacy": {"Offset": -size, "Length": size},
        "XState": {"Offset": start - size, "Length": length},
    })  # fmt: skip
    if gap:
        section.add(f"{path}.ContextExPadding", "padding", bytes(gap))
    states = context.xstate or ()
    enabled = [
        number for number in range(_FIRST_EXTENDED, len(xstate.features)) if xstate.enabled_features >> number & 1
    ]
    add_struct(section, f"{path}.XState", XSAVE_AREA_HEADER, {
        "Mask": sum(1 << number for number, _ in states),
        "CompactionMask": _COMPACTED | sum(1 << number for number in enabled),
    }, zero=["Reserved2"])  # fmt: skip
    header = ctypes.sizeof(XSAVE_AREA_HEADER)
    components = bytearray(length - header)
    fields = {}
    for number, data in states:
        if number not in enabled:
            raise LayoutError(f"{path}: XSAVE component {number} is not enabled")
        at = sum(xstate.features[lower].size for lower in enabled if lower < number)
        size = xstate.features[number].size
        components[at : at + size] = _sized(path, f"XSAVE component {number}", data, size)
        fields[f"Component[{number}]"] = (at, size)
    section.add(f"{path}.XStateComponents", "XSAVE_AREA", components, fields=fields)
