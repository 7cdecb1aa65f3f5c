"""Made-up processes with odd stacks: SP in and around the stack, words that point at its ends, unaligned SP."""

from __future__ import annotations

import random
from dataclasses import replace

from dumptruth.emu.snapshot.process import ProcessSnapshot, Thread
from dumptruth.emu.synthetic.forms import FORMS
from dumptruth.fixtures.adapters.contexts import POINTERS

from ..changed_process import thread_with, with_bytes
from .made_up import random_process

STACK = 0x1000
"""Bytes of each stack."""
_AROUND = 0x400
"""Bytes below and above each stack that hold random words, too."""
_REGISTERS = (
    "Rax", "Rbx", "R9", "R12", "R13", "R14", "R15", "Rsi", "Eax", "Ebx", "Esi", "Edi", "Ecx", "Edx", "X3", "Rbp", "Ebp",
    "Rcx", "Rdi",
)  # fmt: skip


def odd_process(architecture: str, seed: int) -> ProcessSnapshot:
    """Return a process with random places of SP, and random words on and around the stacks and in registers."""
    form, dice = FORMS[architecture], random.Random(seed + 100)
    size = form.pointer_size
    target = random_process(architecture, seed)
    moved = [_moved(thread, architecture, dice) for thread in target.threads]
    target = replace(target, threads=tuple(moved))
    for thread in moved:
        bounds = (thread.stack_base, thread.stack_limit)
        target = with_bytes(target, thread.teb + size, b"".join(bound.to_bytes(size, "little") for bound in bounds))

    def pointer() -> int:
        thread = dice.choice(moved)
        sp, base, limit = thread.context.stack_pointer, thread.stack_base, thread.stack_limit
        starts = (
            0, target.modules[0].base, sp, sp - 4, sp - 8, sp - 1, base, base + 1, base - 1, base + 8, limit, limit - 8,
            limit - 0x100, dice.getrandbits(31), form.extra + size * dice.randrange(0x4000 // size),
            form.extra + size * dice.randrange(0x4000 // size), form.heap + 0x100, thread.teb,
        )  # fmt: skip
        return max(dice.choice(starts), 0)

    def words(length: int) -> bytes:
        return b"".join(pointer().to_bytes(size, "little") for _ in range(length // size))

    target = with_bytes(target, form.extra, words(0x4000))
    for thread in moved:
        for address in range(thread.stack_limit - _AROUND, thread.stack_base + _AROUND, 0x100):
            target = with_bytes(target, address, words(0x100))
    threads = tuple(
        thread_with(thread, {name: pointer() for name, _ in thread.context.registers if name in _REGISTERS})
        for thread in moved
    )
    assert target.exception is not None
    return replace(target, threads=threads, exception=replace(target.exception, context=threads[0].context))


def _moved(thread: Thread, architecture: str, dice: random.Random) -> Thread:
    base = thread.stack_base - dice.choice((0, STACK))
    limit = base - STACK
    sp = dice.choice(
        (
            limit + 0x100, limit, limit - 8, limit - 0x200, limit + 4, base, base + 8, base - 4, base - 8, base + 4,
            base + 0x100, limit + 0x80,
        )
    )  # fmt: skip
    moved = thread_with(thread, {POINTERS[architecture][1]: sp})
    return replace(moved, stack_base=base, stack_limit=limit)
