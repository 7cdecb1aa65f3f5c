"""The engine writes dumps of dumps with odd memory: a part of a TEB, windows at the end of a range. The oracle agrees.

It needs the engine's DLLs, and Wine outside Windows (docs/witness.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from dumptruth.emu.constants import Qualifier
from dumptruth.emu.request import Request
from dumptruth.emu.snapshot.process import PAGE_SIZE, ProcessSnapshot
from dumptruth.emu.synthetic.forms import FORMS
from dumptruth.emu.synthetic.process import synthetic_process
from dumptruth.emu.truth import store
from dumptruth.emu.writer.minidump import dump_bytes
from dumptruth.fixtures.adapters.contexts import POINTERS
from dumptruth.fixtures.adapters.engine.process import Harness
from dumptruth.fixtures.adapters.engine.writer import write_dump
from dumptruth.oracle import ByteSource, RequestTruth, Verdict, check, load_any_truth

from ..changed_process import with_bytes, with_registers
from .engine_judged import contract_of

SMALL, FULL_MEMORY, TRIAGE = Qualifier.DEBUG_DUMP_SMALL, 0x1, 0x10000
HEAP_SIZE = 3 * PAGE_SIZE
RULES = ("PAGE-*", "TRUE-THREAD-003", "XCUT-STACK-*")
Target = tuple[str, int, ProcessSnapshot]
"""What is odd, the format flags, and the process."""


def targets(architecture: str) -> Iterator[Target]:
    plain = synthetic_process(architecture, threads=1, modules=1, stack_committed=PAGE_SIZE)
    (thread,), heap, form = plain.threads, FORMS[architecture].heap, FORMS[architecture]
    ip, sp = POINTERS[architecture]
    block = plain.read(thread.teb, 0x200)
    assert block is not None
    for size in (0x2F, 0x30, 0x5F, 0x60, 0x800, 0x2000):
        at = heap + HEAP_SIZE - size
        moved = with_bytes(with_bytes(plain, heap, bytes(HEAP_SIZE)), at, block[:size])
        yield f"{size:#x} bytes of the TEB", 0, replace(moved, threads=(replace(thread, teb=at),))
    for offset in (-0x40, 0x40, 0x1000, HEAP_SIZE - 0x40, HEAP_SIZE + 0x40):
        yield f"IP at heap + {offset:#x}", 0, with_registers(plain, {ip: heap + offset})
        assert plain.exception is not None
        event = replace(plain.exception, address=heap + offset)
        yield f"ExceptionAddress at heap + {offset:#x}", 0, replace(plain, exception=event)
    yield "SP at the end of the stack", 0, with_registers(plain, {sp: thread.stack_base})
    word = form.pointer_size
    leading = with_bytes(plain, heap + HEAP_SIZE - word, (form.first_image + 0x1010).to_bytes(word, "little"))
    pointed = (heap + HEAP_SIZE - word).to_bytes(word, "little")
    stack = with_bytes(leading, thread.stack_base - 0x100, pointed)
    yield "a word that keeps a stack word", TRIAGE, with_registers(stack, {sp: thread.stack_base - 0x200})


@pytest.mark.parametrize("architecture", ["amd64", "x86", "arm64"])
def test_the_oracle_demands_of_a_dump_of_a_dump_what_the_engine_writes(
    engine: Harness, tmp_path: Path, architecture: str
) -> None:
    contract = contract_of(engine)
    source, made = tmp_path / "source.dmp", tmp_path / "made.dmp"
    wrong = []
    for number, (label, flags, target) in enumerate(targets(architecture)):
        source.write_bytes(dump_bytes(target, Request(SMALL, FULL_MEMORY))[0])
        made.unlink(missing_ok=True)
        written = write_dump(engine, source, made, SMALL, flags=flags)
        assert written.succeeded, (label, written.said)
        store.save(target, tmp_path / f"truth{number}", source="synthetic")
        asked = RequestTruth("", SMALL, (), flags, None, "modern", "", (), contract, "dump")
        report = check(ByteSource(made.read_bytes()), load_any_truth(tmp_path / f"truth{number}"), asked, select=RULES)
        failed = [it.rule for it in report.results if it.verdict is Verdict.FAIL and it.counts]
        wrong += [(label, failed)] if failed else []
    assert wrong == []
