"""Makes a 32-bit process as a 64-bit debugger sees it: WOW64.

docs/format/minidump-modules.md#wow64-modules, docs/format/minidump-readers.md#wow64-in-readers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import replace

from ..snapshot.process import PAGE_SIZE, MemoryRun, Module, ProcessSnapshot, Thread
from ..snapshot.processor_state import Context
from .contexts import synthetic_context
from .forms import AMD64, X86
from .image import TEXT, synthetic_module
from .process import PROCESS_ID, Pages, synthetic_process

_TEB64_SIZE, _TEB32_SIZE = 0x2000, 0x1000
_FORM = replace(
    AMD64, peb=0x30_0000, teb_size=_TEB64_SIZE + _TEB32_SIZE, first_stack=0x200_0000, heap=0x60_0000,
    first_image=0x40_0000, extra=0x400_0000,
)  # fmt: skip
"""All but the 64-bit ntdll.dll lies below 4 GiB. The 32-bit TEB of a thread follows its 64-bit one."""
_MODULES = (
    ("C:\\work\\thirtytwo.exe", 0x40_0000),
    ("C:\\Windows\\System32\\ntdll.dll", 0x7FFB_0000_0000),
    ("C:\\Windows\\System32\\wow64.dll", 0x7FFB_0010_0000),
    ("C:\\Windows\\System32\\wow64win.dll", 0x7FFB_0020_0000),
    ("C:\\Windows\\System32\\wow64cpu.dll", 0x7700_0000),
    ("C:\\Windows\\SysWOW64\\ntdll.dll", 0x7710_0000),
    ("C:\\Windows\\SysWOW64\\kernel32.dll", 0x7720_0000),
)
"""Name and base, in the order of the 64-bit loader's list and then the 32-bit one's."""
_TLS_SLOT_1, _WOW_TEB_OFFSET = 0x1488, 0x180C
"""TEB64.TlsSlots[1] (docs/format/minidump-process-data.md#offsets-in-teb-and-peb), and TEB64.WowTebOffset."""
_CPU_AREA = 0x400
"""Bytes of a 64-bit stack above the CPU area of its thread: a word of flags, the machine, then the 32-bit CONTEXT."""
_STACK32 = 0x10_0000


def wow64_process(threads: int = 2) -> ProcessSnapshot:
    """Return a 32-bit process that was stopped, without an exception.

    Each thread waits in wow64cpu.dll, in 64-bit code. Its 32-bit registers are in the CPU area that TLS slot 1 locates.
    """
    modules = [synthetic_module(i, name, True, True, _FORM, base=base) for i, (name, base) in enumerate(_MODULES)]
    modules = [replace(it, code_view=None) if "wow64" in it.name else it for it in modules]
    stacks = [Pages(_FORM.extra + index * _STACK32, PAGE_SIZE) for index in range(threads)]
    target = synthetic_process(
        threads=threads, module_list=modules, form=_FORM, extra=stacks, stack_used=0x600, unloaded=0, exception=False
    )
    waiting = [replace(thread, context=_native(thread, modules)) for thread in target.threads]
    memory = target.memory
    for thread, stack in zip(waiting, stacks, strict=True):
        for address, data in _blocks(thread, stack, modules):
            memory = tuple(_patched(memory, address, data))
    return replace(target, threads=tuple(waiting), memory=memory)


def _native(thread: Thread, modules: list[Module]) -> Context:
    """Return the 64-bit registers: inside wow64cpu.dll."""
    values = {**thread.context.as_mapping(), "Rip": modules[4].base + TEXT + 0x1C}
    return replace(thread.context, registers=tuple(values.items()))


def _blocks(thread: Thread, stack: Pages, modules: list[Module]) -> Iterable[tuple[int, bytes]]:
    """Yield address and bytes of what WOW64 keeps of a thread: pointers in the TEB, the 32-bit TEB, the CPU area."""
    area, teb32 = thread.stack_base - _CPU_AREA, thread.teb + _TEB64_SIZE
    yield thread.teb, struct.pack("<Q", teb32)  # ExceptionList of a WOW64 thread
    yield thread.teb + _TLS_SLOT_1, struct.pack("<Q", area)
    yield thread.teb + _WOW_TEB_OFFSET, struct.pack("<I", _TEB64_SIZE)
    fields = X86.teb_fields
    for name, values in (
        ("ExceptionList", (0xFFFF_FFFF,)),
        ("StackBase", (stack.end,)),
        ("StackLimit", (stack.base,)),
        ("Self", (teb32,)),
        ("ClientId", (PROCESS_ID, thread.thread_id)),
    ):
        yield teb32 + fields[name], struct.pack(f"<{len(values)}I", *values)
    program = modules[0].base + TEXT
    held = synthetic_context("x86", stack_pointer=stack.end - 0x80, instruction_pointer=program + 0x300)
    yield area, struct.pack("<HH", 0, X86.machine) + _x86_record(held)


def _x86_record(context: Context) -> bytes:
    """Return WOW64_CONTEXT, 716 bytes (docs/format/minidump-contexts.md#x86-layout)."""
    values = context.as_mapping()
    debug = [values[name] for name in ("Dr0", "Dr1", "Dr2", "Dr3", "Dr6", "Dr7")]
    names = ("SegGs", "SegFs", "SegEs", "SegDs", "Edi", "Esi", "Ebx", "Edx", "Ecx", "Eax", "Ebp", "Eip", "SegCs",
             "EFlags", "Esp", "SegSs")  # fmt: skip
    head = struct.pack("<7I", context.context_flags, *debug)
    return head + context.float_save + struct.pack("<16I", *(values[name] for name in names)) + context.fxsave


def _patched(memory: Iterable[MemoryRun], address: int, data: bytes) -> Iterable[MemoryRun]:
    """Yield the memory with ``data`` at an address."""
    for run in memory:
        at = address - run.start
        inside = 0 <= at < len(run.data)
        yield replace(run, data=run.data[:at] + data + run.data[at + len(data) :]) if inside else run
