"""A process for every test of its services."""

from __future__ import annotations

import pytest
from dumptruth.emu.constants import MEM_COMMIT, MEM_RESERVE, PAGE_READWRITE
from dumptruth.emu.process.library import SYSTEM_IMAGES
from dumptruth.emu.process.start import start_process

from .calls import Kernel


@pytest.fixture
def kernel() -> Kernel:
    process = start_process(SYSTEM_IMAGES / "crash.exe")
    scratch, _ = process.memory.space.allocate(0, 0x2000, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE)
    process.scheduler.pick()  # the main thread is on the processor
    return Kernel(process, scratch)
