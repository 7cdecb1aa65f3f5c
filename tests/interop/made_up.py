"""Made-up processes: random words on stacks and in registers that point at all that a minidump can hold."""

from __future__ import annotations

import random
from dataclasses import replace

from dumptruth.emu.constants import PAGE_EXECUTE_READ
from dumptruth.emu.snapshot.process import PAGE_SIZE, MemoryRun, ProcessSnapshot, Thread
from dumptruth.emu.synthetic.forms import FORMS
from dumptruth.emu.synthetic.process import Pages, synthetic_process

CODE = 0x8000
"""Offset of executable pages behind a form's free address; the second thread runs there."""


def with_bytes(target: ProcessSnapshot, address: int, data: bytes) -> ProcessSnapshot:
    """Return the process with other bytes at an address."""
    memory = []
    for run in target.memory:
        contents = bytearray(bytes(run.data))
        if run.start <= address < run.end:
            contents[address - run.start : address - run.start + len(data)] = data
        memory.append(MemoryRun(run.start, bytes(contents)))
    return replace(target, memory=tuple(memory))


def random_process(architecture: str, seed: int) -> ProcessSnapshot:
    """Return a process with random words on stacks and in registers."""
    form, dice = FORMS[architecture], random.Random(seed)
    free, size = form.extra, form.pointer_size
    target = synthetic_process(
        architecture, extra=[Pages(free, 0x4000), Pages(free + CODE, PAGE_SIZE, protect=PAGE_EXECUTE_READ)]
    )

    def pointer() -> int:
        thread, module = dice.choice(target.threads), dice.choice(target.modules)
        stack = thread.context.stack_pointer
        starts = (
            0, module.base, module.base + module.size, stack, stack - size, thread.stack_base, thread.stack_limit,
            free + size * dice.randrange(0x4000 // size), free + CODE + 0x280, free + CODE + 0x300, free + CODE + 0x380,
            form.peb, thread.teb, thread.teb + form.teb_size, form.heap + dice.randrange(0x3000), 0x7FFE0000,
            dice.getrandbits(32),
        )  # fmt: skip
        return max(dice.choice(starts) + dice.choice((0, 0, 0, 1, -1, 0x40)), 0)

    def words(count: int) -> bytes:
        return b"".join(pointer().to_bytes(size, "little") for _ in range(count))

    def changed(index: int, thread: Thread) -> Thread:
        instruction = {"amd64": "Rip", "x86": "Eip", "arm64": "Pc"}[architecture]
        values = {instruction: free + CODE + 0x300} if index else {}
        filtered = ("Rax", "Rbx", "R9", "R12", "Eax", "Ebx", "Esi", "X3")
        pairs = tuple(
            (name, values.get(name, pointer() if name in filtered else value))
            for name, value in thread.context.registers
        )
        return replace(thread, context=replace(thread.context, registers=pairs))

    target = replace(target, threads=tuple(changed(index, thread) for index, thread in enumerate(target.threads)))
    target = with_bytes(target, free, words(0x4000 // size))
    for thread in target.threads:
        target = with_bytes(
            target, thread.context.stack_pointer, words((thread.stack_base - thread.context.stack_pointer) // size)
        )
    assert target.exception is not None
    return replace(target, exception=replace(target.exception, context=target.threads[0].context))
