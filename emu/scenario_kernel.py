"""The named crashes of the synthetic kernel, and drivers of the user's own: from a name or a file to a snapshot.

Every scenario declares the bug check that it expects, from the images' exports and the values that it is given, never
from a run; the run must agree.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .image import ImageError
from .kernel.boot import Boot
from .kernel.boot_block import (
    CALLBACK_ADD_PAGES,
    CALLBACK_SECONDARY_DATA,
    CALLBACK_TRIAGE_DATA,
    GuestScenario,
    Program,
)
from .kernel.configuration import Configuration, ConfigurationError, GuestTask
from .kernel.machine import Finished, Machine, MachineError
from .kernel.physical_memory import RamSizeError, parse_size
from .kernel.structures import StructureError
from .kernel.system_space import pte_address
from .machine.paging import ACCESSED, DIRTY
from .scenario import ExpectationError, ScenarioError
from .snapshot.capture_system import capture_system
from .snapshot.system import SystemSnapshot

__all__ = [
    "KERNEL_SCENARIOS",
    "ConfigurationError",
    "ExpectationError",
    "ImageError",
    "KernelScenario",
    "MachineError",
    "NoBugCheck",
    "RamSizeError",
    "ScenarioError",
    "StructureError",
    "find_kernel_scenario",
    "run_driver",
    "run_kernel_scenario",
]

DRIVER_TICKS = 64
"""Clock ticks, one second, that a driver of the user's has after its DriverEntry to crash."""

# Addresses that the scenarios hand to crashdrv.sys. No page of the kernel's is anywhere near the two large ones.
_NULL_FIELD = 0x28
_NULL_LIST = 0x10
_UNMAPPED = 0xFFFFB58012345678
_BAD_STACK = 0xFFFFB5801234F000

# What UNEXPECTED_KERNEL_MODE_TRAP shows of CR0 and CR4: the values that emu.machine.cpu starts a processor with.
_CR0, _CR4 = 0x80050031, 0x6F8
_DOUBLE_FAULT = 8
_WINDOWS_10 = 10240


class NoBugCheck(Exception):  # noqa: N818 - it is an outcome, not a fault of anybody's
    """A driver did not crash the system, so there is nothing to dump. ``output`` is what DbgPrint wrote."""

    def __init__(self, driver: str, output: bytes) -> None:
        super().__init__(f"{driver}: the system runs on and did not crash: nothing to dump")
        self.output = output


class Pointee(enum.Enum):
    """A bug check parameter whose address is the kernel's to choose: what must be found there."""

    CONTEXT = "the CONTEXT of the exception"
    EXCEPTION_RECORD = "its EXCEPTION_RECORD"
    TRAP_FRAME = "a trap frame on the kernel stack"
    POOL = "nonpaged pool"
    PTE = "the page-table entry of parameter 1"
    CRITICAL_PROCESS = "the EPROCESS of csrss.exe"


Parameter = int | str | Pointee
"""A value, an address as ``image!export``, or where something is."""


@dataclass(frozen=True)
class KernelScenario:
    """``place`` is the faulting instruction, or where KeBugCheckEx returns to, as ``image!export``."""

    name: str
    description: str
    guest: GuestScenario
    code: int
    parameters: tuple[Parameter, Parameter, Parameter, Parameter]
    place: str | None = None
    arguments: tuple[int, int, int, int] = (0, 0, 0, 0)
    processors: int = 2
    crashing_processor: int | None = None
    callbacks: int = 0
    program: Program = Program.IDLE
    critical_program: Program = Program.IDLE
    mode: str = "kernel"
    arch: str = "amd64"

    def task(self) -> GuestTask:
        return GuestTask(
            scenario=self.guest,
            arguments=self.arguments,
            code=self.code,
            callbacks=self.callbacks,
            program=self.program,
            critical_program=self.critical_program,
        )

    def expected(self, build: int) -> tuple[Parameter, ...]:
        """Code and the four parameters on that build: 0x50 tells reads and writes differently before Windows 10."""
        if self.code == 0x50 and build < _WINDOWS_10:
            return (self.code, self.parameters[0], int(self.parameters[1] == 2), *self.parameters[2:])
        return (self.code, *self.parameters)


_EVERY_CALLBACK = CALLBACK_SECONDARY_DATA | CALLBACK_ADD_PAGES | CALLBACK_TRIAGE_DATA
_ASKED = (0x1111, 0x2222222222, 0x3333333333333333, 0x4444444444444444)
_LIVE = (0x1, 0x20, 0x300, 0x4000)

KERNEL_SCENARIOS = (
    KernelScenario(
        "bugcheck-d1",
        "a driver reads a field of a null pointer at DISPATCH_LEVEL",
        GuestScenario.D1,
        0xD1,
        (_NULL_FIELD, 2, 0, "crashdrv.sys!CrashReadSite"),
        "crashdrv.sys!CrashReadSite",
        arguments=(_NULL_FIELD, 0, 0, 0),
    ),
    KernelScenario(
        "bugcheck-a",
        "a kernel routine follows a driver's null pointer at DISPATCH_LEVEL",
        GuestScenario.A,
        0x0A,
        (_NULL_LIST, 2, 0, "ntoskrnl.exe!ExpInterlockedPopEntrySListFault"),
        "ntoskrnl.exe!ExpInterlockedPopEntrySListFault",
        arguments=(_NULL_LIST, 0, 0, 0),
    ),
    KernelScenario(
        "bugcheck-50",
        "a driver writes to a kernel address that nothing is mapped at",
        GuestScenario.PAGE_FAULT_50,
        0x50,
        (_UNMAPPED, 2, "crashdrv.sys!CrashWriteSite", 2),
        "crashdrv.sys!CrashWriteSite",
        arguments=(_UNMAPPED, 0, 0, 0),
        callbacks=CALLBACK_SECONDARY_DATA,
    ),
    KernelScenario(
        "bugcheck-7e",
        "a system thread executes UD2",
        GuestScenario.ILLEGAL_7E,
        0x7E,
        (0xFFFFFFFFC000001D, "crashdrv.sys!CrashIllegalSite", Pointee.EXCEPTION_RECORD, Pointee.CONTEXT),
        "crashdrv.sys!CrashIllegalSite",
        callbacks=CALLBACK_TRIAGE_DATA,
    ),
    KernelScenario(
        "bugcheck-7e-divide",
        "a system thread divides by zero",
        GuestScenario.DIVIDE_7E,
        0x7E,
        (0xFFFFFFFFC0000094, "crashdrv.sys!CrashDivideSite", Pointee.EXCEPTION_RECORD, Pointee.CONTEXT),
        "crashdrv.sys!CrashDivideSite",
    ),
    KernelScenario(
        "bugcheck-7e-breakpoint",
        "a system thread executes INT 3 without a debugger",
        GuestScenario.BREAKPOINT_7E,
        0x7E,
        (0xFFFFFFFF80000003, "crashdrv.sys!CrashBreakpointSite", Pointee.EXCEPTION_RECORD, Pointee.CONTEXT),
        "crashdrv.sys!CrashBreakpointSite",
    ),
    KernelScenario(
        "bugcheck-3b",
        "a driver reads a null pointer in a system call of app.exe",
        GuestScenario.SERVICE_3B,
        0x3B,
        (0xC0000005, "crashdrv.sys!CrashReadSite", Pointee.CONTEXT, 0),
        "crashdrv.sys!CrashReadSite",
        arguments=(_NULL_FIELD, 0, 0, 0),
        program=Program.CALL_DRIVER,
    ),
    KernelScenario(
        "bugcheck-7f",
        "a driver pushes on a stack that is not there: a double fault",
        GuestScenario.BAD_STACK_7F,
        0x7F,
        (_DOUBLE_FAULT, _CR0, _CR4, "crashdrv.sys!CrashStackSite"),
        "crashdrv.sys!CrashStackSite",
        arguments=(_BAD_STACK, 0, 0, 0),
    ),
    KernelScenario(
        "bugcheck-7f-overflow",
        "a driver recurses until its kernel stack is used up: a double fault",
        GuestScenario.OVERFLOW_7F,
        0x7F,
        (_DOUBLE_FAULT, _CR0, _CR4, "crashdrv.sys!CrashOverflowSite"),
        "crashdrv.sys!CrashOverflowSite",
    ),
    KernelScenario(
        "bugcheck-fc",
        "a driver jumps into nonpaged pool, which is not executable",
        GuestScenario.NO_EXECUTE_FC,
        0xFC,
        (Pointee.POOL, Pointee.PTE, Pointee.TRAP_FRAME, 2),
    ),
    KernelScenario(
        "bugcheck-e2",
        "a driver asks for a bug check with four parameters, and every kind of callback adds to the dump",
        GuestScenario.BUGCHECK,
        0xE2,
        _ASKED,
        "crashdrv.sys!CrashBugCheckSite",
        arguments=_ASKED,
        callbacks=_EVERY_CALLBACK,
    ),
    KernelScenario(
        "bugcheck-ef",
        "the program of a critical process ends",
        GuestScenario.CRITICAL_EF,
        0xEF,
        (Pointee.CRITICAL_PROCESS, 0, 0, 0),
        critical_program=Program.EXIT,
    ),
    KernelScenario(
        "second-processor",
        "as bugcheck-d1, on the second of four processors",
        GuestScenario.D1_SECOND,
        0xD1,
        (_NULL_FIELD, 2, 0, "crashdrv.sys!CrashReadSite"),
        "crashdrv.sys!CrashReadSite",
        arguments=(_NULL_FIELD, 0, 0, 0),
        processors=4,
        crashing_processor=1,
    ),
    KernelScenario(
        "user-crash",
        "a program crashes, the kernel lives on; then a live dump",
        GuestScenario.USER_CRASH,
        0x161,
        _LIVE,
        arguments=_LIVE,
        program=Program.CRASH,
    ),
    KernelScenario(
        "live-dump",
        "a live dump that a driver asks for: nothing has crashed",
        GuestScenario.LIVE,
        0x161,
        _LIVE,
        arguments=_LIVE,
        callbacks=CALLBACK_SECONDARY_DATA,
    ),
)


def find_kernel_scenario(name: str) -> KernelScenario:
    """Raises ScenarioError, naming those there are."""
    for scenario in KERNEL_SCENARIOS:
        if scenario.name == name:
            return scenario
    known = ", ".join(scenario.name for scenario in KERNEL_SCENARIOS)
    raise ScenarioError(f"no kernel-mode scenario is called {name!r}; there are {known}")


def run_kernel_scenario(
    name: str, ram: str | int = "16M", build: int = 26100, processors: int | None = None, touched: str | int = 0
) -> SystemSnapshot:
    """Run a scenario to its bug check or live dump.

    ``ram`` and ``touched`` are sizes (``16M``, or bytes): of RAM, and of memory that a user process fills besides.
    ``processors`` None: as many as the scenario is about. Raises ScenarioError, RamSizeError, ConfigurationError,
    ExpectationError, MachineError, StructureError.
    """
    scenario = find_kernel_scenario(name)
    configuration = Configuration(
        ram=_size(ram),
        processors=scenario.processors if processors is None else processors,
        build=build,
        touched=_size(touched),
        task=scenario.task(),
    )
    if (scenario.crashing_processor or 0) >= configuration.processors:
        raise ConfigurationError(
            f"scenario {name}: {configuration.processors} processors, expected more than {scenario.crashing_processor}"
        )
    machine = Machine(Boot(configuration))
    outcome = machine.run()
    if isinstance(outcome, Finished):
        raise ExpectationError(f"scenario {name}: expected bug check 0x{scenario.code:X}, found none")
    snapshot = capture_system(machine, outcome)
    _check(scenario, machine, snapshot, build)
    return snapshot


def run_driver(
    path: Path, ram: str | int = "16M", build: int = 26100, processors: int = 2, *, others: Sequence[Path] = ()
) -> SystemSnapshot:
    """Load a driver (.sys) of the user's, after ``others``, and run the system until it crashes.

    Raises NoBugCheck when it does not; ImageError (no driver, missing import), OSError; and as run_kernel_scenario.
    """
    configuration = Configuration(
        ram=_size(ram),
        processors=processors,
        build=build,
        task=GuestTask(ticks=DRIVER_TICKS),
        drivers=(*others, path),
    )
    machine = Machine(Boot(configuration))
    outcome = machine.run()
    if isinstance(outcome, Finished):
        raise NoBugCheck(path.name, bytes(machine.output))
    return capture_system(machine, outcome)


def _size(value: str | int) -> int:
    return parse_size(value) if isinstance(value, str) else value


# --- the declaration -------------------------------------------------------------------------------------------------


def _check(scenario: KernelScenario, machine: Machine, snapshot: SystemSnapshot, build: int) -> None:
    """Raises ExpectationError unless the bug check is the declared one."""
    expected = scenario.expected(build)
    found = (snapshot.bug_check.code, *snapshot.bug_check.parameters)
    wrong = [
        index
        for index, (parameter, value) in enumerate(zip(expected, found, strict=True))
        if not _agrees(parameter, value, machine, snapshot, scenario)
    ]
    if wrong:
        texts = (
            ", ".join(_text(parameter, machine) for parameter in expected),
            ", ".join(f"0x{value:X}" for value in found),
        )
        raise ExpectationError(f"scenario {scenario.name}: expected bug check {texts[0]}; found {texts[1]}")
    if scenario.crashing_processor not in (None, snapshot.crashing_processor):
        raise ExpectationError(
            f"scenario {scenario.name}: expected a crash on processor {scenario.crashing_processor}, "
            f"found {snapshot.crashing_processor}"
        )


def _agrees(
    parameter: Parameter, value: int, machine: Machine, snapshot: SystemSnapshot, scenario: KernelScenario
) -> bool:
    boot, tables = machine.boot, machine.boot.space.tables
    processor = snapshot.processors[snapshot.crashing_processor]
    on_stack = processor.stack_limit <= value < processor.stack_base
    match parameter:
        case int():
            return value == parameter
        case str():
            return value == _address(parameter, machine)
        case Pointee.CONTEXT:  # CONTEXT.Rip
            return on_stack and _u64(machine, value + 0xF8) == _place(scenario, machine)
        case Pointee.EXCEPTION_RECORD:  # EXCEPTION_RECORD.ExceptionAddress
            return on_stack and _u64(machine, value + 0x10) == _place(scenario, machine)
        case Pointee.TRAP_FRAME:
            return on_stack
        case Pointee.POOL:
            start, size = boot.non_paged_pool
            return start <= value < start + size
        case Pointee.PTE:
            entry = tables.translate(pte_address(snapshot.bug_check.parameters[0]))
            return entry is not None and not (boot.memory.read_u64(entry.pa) ^ value) & ~(ACCESSED | DIRTY)
        case Pointee.CRITICAL_PROCESS:
            return any(p.process == value and p.image_file_name == "csrss.exe" for p in snapshot.processes)
    return False


def _place(scenario: KernelScenario, machine: Machine) -> int:
    if scenario.place is None:
        raise ScenarioError(f"scenario {scenario.name}: declares a context and no place")
    return _address(scenario.place, machine)


def _address(place: str, machine: Machine) -> int:
    name, _, export = place.partition("!")
    return next(image for image in machine.boot.images if image.name == name).address_of(export)


def _u64(machine: Machine, address: int) -> int:
    return int.from_bytes(machine.boot.space.tables.read(address, 8), "little")


def _text(parameter: Parameter, machine: Machine) -> str:
    match parameter:
        case int():
            return f"0x{parameter:X}"
        case str():
            return f"0x{_address(parameter, machine):X} ({parameter})"
        case Pointee():
            return parameter.value
