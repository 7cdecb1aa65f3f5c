"""Calls services as ntdll's stubs do: arguments in registers and on the stack, results in guest memory."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from dumptruth.emu.images.services import number_of
from dumptruth.emu.process.objects import Thread
from dumptruth.emu.process.outcome import Control
from dumptruth.emu.process.process import Process
from dumptruth.emu.process.services import Call, ServiceTable
from dumptruth.emu.process.winnt import Status, StatusError

CURRENT_PROCESS = (1 << 64) - 1
CURRENT_THREAD = (1 << 64) - 2


@dataclass
class Kernel:
    """The process before its first instruction, with a page of scratch memory for arguments."""

    process: Process
    scratch: int

    @property
    def main(self) -> Thread:
        return self.process.scheduler.threads[0]

    def __call__(self, name: str, *arguments: int, thread: Thread | None = None) -> int | Control:
        found = ServiceTable().find(number_of(name))
        assert found is not None
        row, handler = found
        full = (*arguments, *(0 for _ in range(row.arguments - len(arguments))))
        assert len(full) == row.arguments
        mask = (1 << 64) - 1
        try:
            return handler(Call(self.process, thread or self.main, tuple(value & mask for value in full)))
        except StatusError as error:
            return error.status

    def put(self, offset: int, *values: int) -> int:
        address = self.scratch + offset
        self.process.memory.write(address, struct.pack(f"<{len(values)}q", *values))
        return address

    def get(self, offset: int) -> int:
        return self.process.memory.u64(self.scratch + offset)

    def attributes(self, name: str, flags: int = 0, root: int = 0) -> int:
        """OBJECT_ATTRIBUTES at 0x400, followed by its UNICODE_STRING and text."""
        text = name.encode("utf-16-le")
        self.process.memory.write(self.scratch + 0x440, text)
        string = struct.pack("<HH4xQ", len(text), len(text), self.scratch + 0x440)
        self.process.memory.write(self.scratch + 0x430, string)
        self.process.memory.write(
            self.scratch + 0x400, struct.pack("<I4xQQI4xQQ", 0x30, root, self.scratch + 0x430, flags, 0, 0)
        )
        return self.scratch + 0x400

    def made(self, name: str, *arguments: int, thread: Thread | None = None) -> int:
        """The handle that a create service stores at scratch + 0."""
        assert self(name, self.scratch, *arguments, thread=thread) == Status.SUCCESS
        return self.get(0)

    def thread(self) -> Thread:
        return self.process.create_thread(self.process.main_module.entry_point, 0)
