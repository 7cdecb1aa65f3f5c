"""The common path of all service calls: number, arguments, status."""

from __future__ import annotations

from dumptruth.emu.images.services import number_of, services
from dumptruth.emu.process.services import ServiceTable
from dumptruth.emu.process.winnt import Status

from .calls import Kernel


def test_every_service_of_the_table_is_answered() -> None:
    table = ServiceTable()
    assert all(table.find(row.number) is not None for row in services())
    assert table.find(0xFFF) is None


def test_an_unknown_service_number_is_refused_and_the_thread_goes_on(kernel: Kernel) -> None:
    cpu = kernel.process.cpu
    cpu.restore(kernel.main.state)
    cpu.set("Rax", 0xFFF)
    rip = cpu.get("Rip")
    assert kernel.process._serve(kernel.main)
    assert (cpu.get("Rax"), cpu.get("Rip"), cpu.get("Rcx")) == (Status.INVALID_SYSTEM_SERVICE, rip + 2, rip + 2)


def test_arguments_on_an_unmapped_stack_are_an_access_violation(kernel: Kernel) -> None:
    cpu = kernel.process.cpu
    cpu.restore(kernel.main.state)
    cpu.load({"Rax": number_of("NtCreateFile"), "Rsp": 0x10})
    assert kernel.process._serve(kernel.main)
    assert cpu.get("Rax") == Status.ACCESS_VIOLATION
