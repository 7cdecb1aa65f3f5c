"""Copies of a process with other bytes or other registers, for targets that no program makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from dumptruth.emu.snapshot.process import MemoryRun, ProcessSnapshot, Thread


def with_bytes(target: ProcessSnapshot, address: int, data: bytes) -> ProcessSnapshot:
    """The process with other bytes at an address; those behind the end of the run are left out."""

    def changed(run: MemoryRun) -> MemoryRun:
        if not run.start <= address < run.end:
            return run
        held, at = bytearray(run.data[0 : run.end - run.start]), address - run.start
        held[at : at + len(data)] = data[: len(held) - at]
        return MemoryRun(run.start, bytes(held))

    return replace(target, memory=tuple(map(changed, target.memory)))


def with_registers(target: ProcessSnapshot, values: Mapping[str, int], index: int = 0) -> ProcessSnapshot:
    """The process with other registers of one thread."""
    threads = list(target.threads)
    threads[index] = thread_with(threads[index], values)
    return replace(target, threads=tuple(threads))


def thread_with(thread: Thread, values: Mapping[str, int]) -> Thread:
    """The thread with other registers. A name that its context lacks changes nothing."""
    registers = tuple((name, values.get(name, value)) for name, value in thread.context.registers)
    return replace(thread, context=replace(thread.context, registers=registers))
