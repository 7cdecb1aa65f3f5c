"""Made-up processes: random words on stacks and in registers that point at all that a minidump can hold."""

from __future__ import annotations

import random
from dataclasses import replace

from dumptruth.emu.constants import PAGE_EXECUTE_READ
from dumptruth.emu.snapshot.process import PAGE_SIZE, ProcessSnapshot, Thread
from dumptruth.emu.synthetic.forms import FORMS
from dumptruth.emu.synthetic.process import Pages, synthetic_process
from dumptruth.fixtures.adapters.contexts import POINTERS

from ..changed_process import thread_with, with_bytes

CODE = 0x8000
"""Offset of executable pages behind a form's free address; the second thread runs there."""


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
        values = {POINTERS[architecture][0]: free + CODE + 0x300} if index else {}
        filtered = ("Rax", "Rbx", "R9", "R12", "Eax", "Ebx", "Esi", "X3")
        values |= {name: pointer() for name, _ in thread.context.registers if name in filtered}
        return thread_with(thread, values)

    target = replace(target, threads=tuple(changed(index, thread) for index, thread in enumerate(target.threads)))
    target = with_bytes(target, free, words(0x4000 // size))
    for thread in target.threads:
        target = with_bytes(
            target, thread.context.stack_pointer, words((thread.stack_base - thread.context.stack_pointer) // size)
        )
    assert target.exception is not None
    return replace(target, exception=replace(target.exception, context=target.threads[0].context))
