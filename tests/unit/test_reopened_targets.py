"""What a dump of a dump target has of a TEB that its source holds in part."""

from __future__ import annotations

from dataclasses import replace

import pytest
from dumptruth.emu.constants import DEBUG_DUMP_SMALL
from dumptruth.emu.plan.user import plan_user
from dumptruth.emu.request import Contract, Request, Session
from dumptruth.emu.synthetic.forms import FORMS
from dumptruth.emu.synthetic.process import synthetic_process


@pytest.mark.parametrize(
    ("contract", "architecture", "needed"),
    [
        (Contract.E15063, "amd64", 0x60), (Contract.E15063, "arm64", 0x60), (Contract.E15063, "x86", 0x30),
        (Contract.E29507, "amd64", 0x1838), (Contract.E29507, "arm64", 0x1838), (Contract.E29507, "x86", 0x30),
    ],
)  # fmt: skip
@pytest.mark.parametrize("missing", [0, 1])
def test_a_stack_is_lost_with_the_first_bytes_of_its_teb(
    contract: Contract, architecture: str, needed: int, missing: int
) -> None:
    """docs/format/minidump-memory-ranges.md#dump-targets-stacks"""
    target = synthetic_process(architecture, threads=1)
    end = FORMS[architecture].heap + 0x3000  # reserved memory follows
    (thread,) = target.threads
    target = replace(target, threads=(replace(thread, teb=end - needed + missing),))
    (stack,) = plan_user(target, Request(DEBUG_DUMP_SMALL, contract=contract, session=Session.DUMP)).stacks
    assert bool(stack.size) is not bool(missing)
