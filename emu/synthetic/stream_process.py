"""Makes a process that has data for every stream of a user minidump.

``stream_target`` adds to ``synthetic_process``: generated code with function tables, traced handles, tokens of the
process and of a thread, AVX state, names, unloaded modules.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..constants import PAGE_EXECUTE_READ, PAGE_READWRITE
from ..process.extended_state import AVX_COMPONENT, avx_state
from ..process.tokens import TOKEN_IMPERSONATION, token_of
from ..snapshot.process import (
    PAGE_SIZE,
    Context,
    ExceptionEvent,
    FunctionEntry,
    FunctionTable,
    HandleOperation,
    ProcessSnapshot,
    Token,
    XstateConfiguration,
)
from ..snapshot.processor_state import AVX_STATE
from .forms import AMD64
from .process import Pages, synthetic_process, synthetic_system

GENERATED_CODE = AMD64.extra
"""Address of the generated code. Its function tables are 64 KiB further."""
_TABLES = GENERATED_CODE + 0x10000
_FUNCTION_SIZE = 0x40
_CRASH = b"\x89\x41\x30"  # mov [rcx + 30h], eax
_CRASH_OFFSET = 0x48
_UNWIND_INFO = 0x800
"""Offset of the first UNWIND_INFO in the generated code's page."""
_NATIVE_SIZE = 136


@dataclass(frozen=True, slots=True)
class GeneratedCode:
    """Pages of generated code and of its function tables, and the tables."""

    pages: tuple[Pages, ...]
    tables: tuple[FunctionTable, ...]


def generated_code(
    counts: Sequence[int] = (1, 2, 3), *, base: int = GENERATED_CODE, at: int = _TABLES
) -> GeneratedCode:
    """Return functions at ``base`` and one dynamic function table for each of ``counts``, with so many entries.

    The second function crashes. Function n has n % 4 unwind codes, so UNWIND_INFO has 4 to 10 bytes. The descriptors
    of the system form a list with its head at ``at``.

    Raises ValueError when functions or tables do not fit in their page.
    """
    code = bytearray(b"\x90" * (_FUNCTION_SIZE - 1) + b"\xc3") * (_UNWIND_INFO // _FUNCTION_SIZE)
    code[_CRASH_OFFSET : _CRASH_OFFSET + len(_CRASH)] = _CRASH
    code += bytes(PAGE_SIZE - len(code))
    data = bytearray(PAGE_SIZE)
    descriptors = [at + 0x10 + _NATIVE_SIZE * index for index in range(len(counts))]
    links = [at, *descriptors, at]
    free = 0x10 + _NATIVE_SIZE * len(counts)
    struct.pack_into("<QQ", data, 0, links[1], links[-2])
    tables = []
    function, unwind = 0, _UNWIND_INFO
    for index, count in enumerate(counts):
        entries = []
        for _ in range(count):
            begin, codes = function * _FUNCTION_SIZE, function % 4
            struct.pack_into("<4B", code, unwind, 1, 0, codes, 0)  # version 1, no prologue
            struct.pack_into(f"<{codes}H", code, unwind + 4, *range(0x0205, 0x0205 + codes))
            entries.append(FunctionEntry(begin, begin + _FUNCTION_SIZE, unwind))
            function, unwind = function + 1, unwind + 4 + 2 * (codes + codes % 2)
        low = base + (entries[0].begin_address if entries else 0)
        high = base + (entries[-1].end_address if entries else 0)
        native = struct.pack(
            "<QQQQQQQQQQII",
            links[index + 2], links[index], at + free, 0x1DA_6F86_0F5C_8000 + index, low, high, base, 0, 0, 0, 0, count,
        ).ljust(_NATIVE_SIZE, b"\0")  # fmt: skip
        data[descriptors[index] - at : descriptors[index] - at + _NATIVE_SIZE] = native
        for entry in entries:
            struct.pack_into("<3I", data, free, entry.begin_address, entry.end_address, entry.unwind_data)
            free += 12
        tables.append(FunctionTable(low, high, base, native, tuple(entries)))
    if function * _FUNCTION_SIZE > _UNWIND_INFO or len(code) > PAGE_SIZE or len(data) > PAGE_SIZE:
        raise ValueError(f"{function} functions in {len(counts)} tables: do not fit in the page of generated code")
    return GeneratedCode(
        (
            Pages(base, PAGE_SIZE, protect=PAGE_EXECUTE_READ, allocation_protect=PAGE_READWRITE, data=bytes(code)),
            Pages(at, PAGE_SIZE, data=bytes(data)),
        ),
        tuple(tables),
    )


def handle_trace(process_id: int, thread_id: int, return_address: int) -> tuple[HandleOperation, ...]:
    """Return an open, a close and a bad reference of one handle, with 1, 32 and no return addresses."""
    return tuple(
        HandleOperation(0x40, process_id, thread_id, kind, index, tuple(return_address + 8 * n for n in range(depth)))
        for index, (kind, depth) in enumerate(((1, 1), (2, 32), (3, 0)))
    )


def avx_context(context: Context, seed: int) -> Context:
    """Return the context with values in the upper halves of YMM0 to YMM15."""
    return replace(context, xstate=((AVX_COMPONENT, avx_state(seed)),))


def stream_target(*, xstate: XstateConfiguration | None = AVX_STATE) -> ProcessSnapshot:
    """Return a process that crashed in generated code, with data for every stream. ``xstate`` None: no AVX."""
    code = generated_code()
    target = synthetic_process(
        threads=4,
        thread_names=("main", None, "worker \u00e9", None),
        modules=3,
        unloaded=2,
        handles=5,
        extra=code.pages,
        exception_information=(1, 0x30),
        system=synthetic_system(xstate=xstate),
    )
    initial = () if xstate else None
    threads = [replace(thread, context=replace(thread.context, xstate=initial)) for thread in target.threads]
    first = threads[0]
    registers = {**first.context.as_mapping(), "Rip": GENERATED_CODE + _CRASH_OFFSET, "Rcx": 0}
    context = replace(first.context, registers=tuple(registers.items()))
    threads[0] = replace(first, context=avx_context(context, 1) if xstate else context)
    if xstate:
        threads[2] = replace(threads[2], context=avx_context(threads[2].context, 3))
    event = target.exception
    assert event is not None
    return replace(
        target,
        threads=tuple(threads),
        exception=_at(event, threads[0].context),
        function_tables=code.tables,
        handle_operations=handle_trace(target.process.process_id, first.thread_id, target.modules[0].base + 0x1010),
        tokens=_tokens(target),
    )


def _at(event: ExceptionEvent, context: Context) -> ExceptionEvent:
    return replace(event, address=context.instruction_pointer, context=context)


def _tokens(target: ProcessSnapshot) -> tuple[Token, ...]:
    """Return the token of the process, and the impersonation token of a thread."""
    return (
        token_of(target.process.process_id, 0x60),
        token_of(target.threads[1].thread_id, 0x64, TOKEN_IMPERSONATION),
    )
