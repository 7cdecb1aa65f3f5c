"""The registers of a CONTEXT record, by the parts that its ContextFlags name.

A register has the name of its member in winnt.h CONTEXT, in lower case. Elements of areas have the processor's names:
``st0``, ``xmm0``, ``ymm0``, ``zmm0``, ``k0``, ``v0``, ``d0``.

Sources: docs/format/minidump-contexts.md#parts-of-contextflags and the layouts there; Intel SDM volume 1, chapter 13.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from ..decode import Record
from ..memory.source import ByteSource
from ..readers.facts import ContextFact
from ..readers.xstate import read_xstate

# docs/format/minidump-contexts.md#parts-of-contextflags
_CONTROL, _INTEGER, _SEGMENTS, _EXTENDED, _XSTATE = 0x1, 0x2, 0x4, 0x20, 0x40
_X18: Final = 0x10
_FLOATING: Final = {"x86": 0x8, "amd64": 0x8, "arm": 0x4, "arm64": 0x4}
_DEBUG: Final = {"x86": 0x10, "amd64": 0x10, "arm": 0x8, "arm64": 0x8}
# winnt.h CONTEXT: the registers of CONTEXT_CONTROL
_CONTROLS: Final = {
    "x86": ("Ebp", "Eip", "SegCs", "EFlags", "Esp", "SegSs"),
    "amd64": ("SegCs", "EFlags", "Rip", "Rsp", "SegSs"),
    "arm": ("Sp", "Lr", "Pc", "Cpsr"),
    "arm64": ("Fp", "Lr", "Sp", "Pc", "Cpsr"),
}
_SEGMENT_NAMES: Final = ("SegDs", "SegEs", "SegFs", "SegGs")
_DEBUG_NAMES: Final = ("Dr0", "Dr1", "Dr2", "Dr3", "Dr6", "Dr7")
_DEBUG_ARRAYS: Final = ("Bcr", "Bvr", "Wcr", "Wvr")
_VECTOR_NAMES: Final = ("Fpcr", "Fpsr", "Fpscr")
_NO_REGISTERS: Final = frozenset(
    {"ContextFlags", "MxCsr", "Padding", "Padding2", "VectorControl", "DebugControl"}
    | {"LastBranchToRip", "LastBranchFromRip", "LastExceptionToRip", "LastExceptionFromRip"}
    | {f"P{number}Home" for number in range(1, 7)}
    | {*_DEBUG_NAMES, *_DEBUG_ARRAYS, *_VECTOR_NAMES, "D", "Extra"}
)
"""Members of CONTEXT that are no general registers."""
_X87_PREFIXES: Final = {"amd64": "FltSave.", "x86": "FloatSave."}
_X87_NAMES: Final = (
    "ControlWord",
    "StatusWord",
    "TagWord",
    "ErrorOffset",
    "ErrorSelector",
    "DataOffset",
    "DataSelector",
)

# Intel SDM volume 1, 10.5.1 (FXSAVE area) and 13.4, 13.5 (components of XSAVE): offsets and sizes in bytes.
_FXSAVE_MXCSR, _FXSAVE_XMM = 24, 160
_AVX, _OPMASK, _ZMM_HIGH, _HIGH_ZMM = 2, 5, 6, 7


def registers_of(source: ByteSource, context: ContextFact, features: Mapping[int, tuple[int, int]]) -> dict[str, Any]:
    """The facts of a context: ``context_flags``, and the groups of registers that it has.

    ``features`` is XStateData of the dump, as ``xstate.features_of`` reads it.
    """
    record, architecture = context.record, context.record.structure.architectures[0]
    flags = record["ContextFlags"]
    facts: dict[str, Any] = {"context_flags": flags}
    groups = {
        "general": dict(_general(record, architecture, flags)),
        "debug": dict(_debug(record)) if flags & _DEBUG[architecture] else {},
        "x87": dict(_x87(record, architecture)) if flags & _FLOATING[architecture] else {},
        "vector": dict(_vector(record, architecture, flags)),
    }
    if flags & _XSTATE and architecture in _X87_PREFIXES:
        groups["vector"] |= dict(_extended(source, context, features, groups["vector"]))
    return facts | {name: group for name, group in groups.items() if group}


def _general(record: Record, architecture: str, flags: int) -> Iterator[tuple[str, int]]:
    for name, field in record.structure.fields.items():
        if name in _NO_REGISTERS or field.kind == "bytes" or not name.isidentifier():
            continue
        if name in _CONTROLS[architecture]:
            part = _CONTROL
        elif name in _SEGMENT_NAMES:
            part = _SEGMENTS
        else:
            part = _X18 if architecture == "arm64" and name == "X18" else _INTEGER
        if flags & part:
            yield name.lower(), record[name]


def _debug(record: Record) -> Iterator[tuple[str, int]]:
    fields = record.structure.fields
    for name in _DEBUG_NAMES:
        if name in fields:
            yield name.lower(), record[name]
    for name in _DEBUG_ARRAYS:
        if name in fields:
            for index, value in enumerate(record.array(name)):
                yield f"{name.lower()}{index}", value


def _x87(record: Record, architecture: str) -> Iterator[tuple[str, int]]:
    prefix = _X87_PREFIXES.get(architecture)
    if prefix is None:
        return
    for name in _X87_NAMES:
        yield name.lower(), record[prefix + name]
    area, stride = ("FltSave.FloatRegisters", 16) if architecture == "amd64" else ("FloatSave.RegisterArea", 10)
    yield from _elements("st", record.raw(area), stride, 10)


def _vector(record: Record, architecture: str, flags: int) -> Iterator[tuple[str, int]]:
    floating = flags & _FLOATING[architecture]
    if architecture == "amd64" and floating:
        yield "mxcsr", record["MxCsr"]
        yield from _elements("xmm", record.raw("FltSave.XmmRegisters"), 16)
    elif architecture == "x86" and flags & _EXTENDED:
        area = record.raw("ExtendedRegisters")
        yield "mxcsr", int.from_bytes(area[_FXSAVE_MXCSR : _FXSAVE_MXCSR + 4], "little")
        yield from _elements("xmm", area[_FXSAVE_XMM : _FXSAVE_XMM + 8 * 16], 16)
    elif architecture in ("arm", "arm64") and floating:
        for name in _VECTOR_NAMES:
            if name in record.structure.fields:
                yield name.lower(), record[name]
        name, width = ("v", 16) if architecture == "arm64" else ("d", 8)
        yield from _elements(name, record.raw(name.upper()), width)


def _elements(name: str, area: bytes, stride: int, width: int | None = None) -> Iterator[tuple[str, int]]:
    for index in range(len(area) // stride):
        at = index * stride
        yield f"{name}{index}", int.from_bytes(area[at : at + (width or stride)], "little")


def _extended(
    source: ByteSource, context: ContextFact, features: Mapping[int, tuple[int, int]], low: Mapping[str, int]
) -> Iterator[tuple[str, int]]:
    """The registers of AVX and AVX-512. A component that is not present is in its initial state, which is 0."""
    state = read_xstate(source, context)
    if state is None:
        return

    def component(number: int) -> bytes | None:
        span = state.place(number, features)
        if not state.present >> number & 1:
            known = features.get(number)
            return None if known is None else bytes(known[1])
        return None if span is None else source.read(span.start, len(span))

    avx = component(_AVX)
    if avx is None:
        return
    count = sum(name.startswith("xmm") for name in low)
    for index, (_, high) in zip(range(count), _elements("ymm", avx, 16), strict=False):
        yield f"ymm{index}", low[f"xmm{index}"] | high << 128
    zmm = component(_ZMM_HIGH)
    if zmm is None:
        return
    halves = [value for _, value in _elements("ymm", avx, 16)]
    for index, (_, high) in zip(range(count), _elements("zmm", zmm, 32), strict=False):
        yield f"zmm{index}", low[f"xmm{index}"] | halves[index] << 128 | high << 256
    if (upper := component(_HIGH_ZMM)) is not None and count == 16:
        for index, (_, value) in enumerate(_elements("zmm", upper, 64), 16):
            yield f"zmm{index}", value
    if (masks := component(_OPMASK)) is not None:
        yield from _elements("k", masks, 8)
