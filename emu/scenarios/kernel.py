"""Runs the kernel-mode scenarios and drivers of the user, and returns a snapshot of the stopped machine.

Every scenario declares its bug check from exports of the images and from its own parameters, not from a run. A run with
another bug check is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..capture.kernel import capture_kernel
from ..errors import DumptruthError
from ..image import ImageError
from ..kernel.boot import Boot
from ..kernel.boot_block import (
    CALLBACK_ADD_PAGES,
    CALLBACK_SECONDARY_DATA,
    CALLBACK_TRIAGE_DATA,
    GuestScenario,
    Program,
)
from ..kernel.bug_check import Declaration, Pointee
from ..kernel.configuration import Configuration, ConfigurationError, GuestTask, KernelSet
from ..kernel.machine import Finished, Machine, MachineError
from ..kernel.physical_memory import RamSizeError, parse_size
from ..kernel.structures import StructureError
from ..limits import DEFAULTS, Limits
from ..snapshot.kernel import KernelSnapshot
from .process import ExpectationError, ScenarioError

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
"""Number of clock ticks (one second) in which a driver of the user must crash after its DriverEntry."""

# Addresses that the scenarios pass to crashdrv.sys. The kernel maps no page near the two large ones.
_NULL_FIELD = 0x28
_NULL_LIST = 0x10
_UNMAPPED = 0xFFFFB58012345678
_BAD_STACK = 0xFFFFB5801234F000

# CR0 and CR4 in the parameters of UNEXPECTED_KERNEL_MODE_TRAP: the initial values in emu.machine.cpu.
_CR0, _CR4 = 0x80050031, 0x406F8
_DOUBLE_FAULT = 8


class NoBugCheck(DumptruthError):  # noqa: N818 - it is an outcome, not an error
    """A driver did not crash the system, so there is nothing to dump. ``output`` is the output of DbgPrint."""

    def __init__(self, driver: str, output: bytes) -> None:
        super().__init__(f"{driver}: the system is still running and did not crash: nothing to dump")
        self.output = output


@dataclass(frozen=True)
class KernelScenario:
    """A named bug check or live dump.

    crashdrv.sys executes ``guest`` with ``arguments``. ``processors`` is the default number of processors.
    ``declared`` is the expected bug check.
    """

    name: str
    description: str
    guest: GuestScenario
    declared: Declaration
    arguments: tuple[int, int, int, int] = (0, 0, 0, 0)
    processors: int = 2
    crashing_processor: int | None = None
    callbacks: int = 0
    program: Program = Program.IDLE
    critical_program: Program = Program.IDLE
    mode: str = "kernel"
    arch: str = "amd64"

    def task(self) -> GuestTask:
        """The scenario's part of the boot block."""
        return GuestTask(
            scenario=self.guest,
            arguments=self.arguments,
            code=self.declared.code,
            callbacks=self.callbacks,
            program=self.program,
            critical_program=self.critical_program,
        )


def _unhandled(status: int, place: str) -> Declaration:
    """Bug check 0x7E: an exception of a system thread that has no handler."""
    return Declaration(0x7E, (status, place, Pointee.EXCEPTION_RECORD, Pointee.CONTEXT), place)


_EVERY_CALLBACK = CALLBACK_SECONDARY_DATA | CALLBACK_ADD_PAGES | CALLBACK_TRIAGE_DATA
_ASKED = (0x1111, 0x2222222222, 0x3333333333333333, 0x4444444444444444)
_LIVE = (0x1, 0x20, 0x300, 0x4000)

KERNEL_SCENARIOS = (
    KernelScenario(
        "bugcheck-d1",
        "a driver reads a field of a null pointer at DISPATCH_LEVEL",
        GuestScenario.D1,
        Declaration(0xD1, (_NULL_FIELD, 2, 0, "crashdrv.sys!CrashReadSite")),
        arguments=(_NULL_FIELD, 0, 0, 0),
    ),
    KernelScenario(
        "bugcheck-a",
        "a kernel routine reads through a driver's null pointer at DISPATCH_LEVEL",
        GuestScenario.A,
        Declaration(0x0A, (_NULL_LIST, 2, 0, "ntoskrnl.exe!ExpInterlockedPopEntrySListFault")),
        arguments=(_NULL_LIST, 0, 0, 0),
    ),
    KernelScenario(
        "bugcheck-50",
        "a driver writes to an unmapped kernel address",
        GuestScenario.PAGE_FAULT_50,
        Declaration(0x50, (_UNMAPPED, 2, "crashdrv.sys!CrashWriteSite", 2)),
        arguments=(_UNMAPPED, 0, 0, 0),
        callbacks=CALLBACK_SECONDARY_DATA,
    ),
    KernelScenario(
        "bugcheck-7e",
        "a system thread executes UD2",
        GuestScenario.ILLEGAL_7E,
        _unhandled(0xFFFFFFFFC000001D, "crashdrv.sys!CrashIllegalSite"),
        callbacks=CALLBACK_TRIAGE_DATA,
    ),
    KernelScenario(
        "bugcheck-7e-divide",
        "a system thread divides by zero",
        GuestScenario.DIVIDE_7E,
        _unhandled(0xFFFFFFFFC0000094, "crashdrv.sys!CrashDivideSite"),
    ),
    KernelScenario(
        "bugcheck-7e-breakpoint",
        "a system thread executes INT 3 without a debugger",
        GuestScenario.BREAKPOINT_7E,
        _unhandled(0xFFFFFFFF80000003, "crashdrv.sys!CrashBreakpointSite"),
    ),
    KernelScenario(
        "bugcheck-3b",
        "a driver reads a null pointer in a system call of app.exe",
        GuestScenario.SERVICE_3B,
        Declaration(0x3B, (0xC0000005, "crashdrv.sys!CrashReadSite", Pointee.CONTEXT, 0), "crashdrv.sys!CrashReadSite"),
        arguments=(_NULL_FIELD, 0, 0, 0),
        program=Program.CALL_DRIVER,
    ),
    KernelScenario(
        "bugcheck-7f",
        "a driver pushes to an unmapped stack: a double fault",
        GuestScenario.BAD_STACK_7F,
        Declaration(0x7F, (_DOUBLE_FAULT, _CR0, _CR4, "crashdrv.sys!CrashStackSite")),
        arguments=(_BAD_STACK, 0, 0, 0),
    ),
    KernelScenario(
        "bugcheck-7f-overflow",
        "a driver recurses until its kernel stack is used up: a double fault",
        GuestScenario.OVERFLOW_7F,
        Declaration(0x7F, (_DOUBLE_FAULT, _CR0, _CR4, "crashdrv.sys!CrashOverflowSite")),
    ),
    KernelScenario(
        "bugcheck-fc",
        "a driver jumps into nonpaged pool, which is not executable",
        GuestScenario.NO_EXECUTE_FC,
        Declaration(0xFC, (Pointee.POOL, Pointee.PTE, Pointee.TRAP_FRAME, 2)),
    ),
    KernelScenario(
        "bugcheck-e2",
        "a driver requests a bug check with four parameters; every kind of callback adds data to the dump",
        GuestScenario.BUGCHECK,
        Declaration(0xE2, _ASKED),
        arguments=_ASKED,
        callbacks=_EVERY_CALLBACK,
    ),
    KernelScenario(
        "bugcheck-ef",
        "the program of a critical process exits",
        GuestScenario.CRITICAL_EF,
        Declaration(0xEF, (Pointee.CRITICAL_PROCESS, 0, 0, 0)),
        critical_program=Program.EXIT,
    ),
    KernelScenario(
        "second-processor",
        "the same as bugcheck-d1, on the second of four processors",
        GuestScenario.D1_SECOND,
        Declaration(0xD1, (_NULL_FIELD, 2, 0, "crashdrv.sys!CrashReadSite")),
        arguments=(_NULL_FIELD, 0, 0, 0),
        processors=4,
        crashing_processor=1,
    ),
    KernelScenario(
        "user-crash",
        "a program crashes, the kernel continues, and a driver requests a live dump",
        GuestScenario.USER_CRASH,
        Declaration(0x161, _LIVE),
        arguments=_LIVE,
        program=Program.CRASH,
    ),
    KernelScenario(
        "live-dump",
        "a driver requests a live dump; nothing has crashed",
        GuestScenario.LIVE,
        Declaration(0x161, _LIVE),
        arguments=_LIVE,
        callbacks=CALLBACK_SECONDARY_DATA,
    ),
)


def find_kernel_scenario(name: str) -> KernelScenario:
    """The kernel-mode scenario of that name. Raises ScenarioError, with the list of names."""
    for scenario in KERNEL_SCENARIOS:
        if scenario.name == name:
            return scenario
    known = ", ".join(scenario.name for scenario in KERNEL_SCENARIOS)
    raise ScenarioError(f"no kernel-mode scenario is called {name!r}; there are {known}")


def run_kernel_scenario(
    name: str,
    ram: str | int = "16M",
    build: int = 26100,
    processors: int | None = None,
    touched: str | int = 0,
    *,
    limits: Limits = DEFAULTS,
    stacks: bool = False,
) -> KernelSnapshot:
    """Run a scenario to its bug check or live dump.

    ``ram`` is the size of RAM. ``touched`` is the size of the memory that a user process fills in addition. Both are in
    bytes, or texts such as ``16M``. If ``processors`` is None, the scenario decides. ``stacks``: record the
    call stacks. Raises ScenarioError,
    RamSizeError, ConfigurationError, ExpectationError, LimitReached, MachineError, StructureError.
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
    machine = Machine(Boot(configuration), limits, f"scenario {name}", stacks=stacks)
    outcome = machine.run()
    if isinstance(outcome, Finished):
        raise ExpectationError(f"scenario {name}: expected bug check 0x{scenario.declared.code:X}, found none")
    snapshot = capture_kernel(machine, outcome)
    declared = scenario.declared.on_build(build)
    if not declared.agrees(machine.boot, snapshot):
        found = ", ".join(f"0x{value:X}" for value in (snapshot.bug_check.code, *snapshot.bug_check.parameters))
        raise ExpectationError(f"scenario {name}: expected bug check {declared.text(machine.boot)}; found {found}")
    if scenario.crashing_processor not in (None, snapshot.crashing_processor):
        where = f"expected a crash on processor {scenario.crashing_processor}, found {snapshot.crashing_processor}"
        raise ExpectationError(f"scenario {name}: {where}")
    return snapshot


def run_driver(
    path: str | Path,
    ram: str | int = "16M",
    build: int = 26100,
    processors: int = 2,
    touched: str | int = 0,
    *,
    others: Sequence[str | Path] = (),
    limits: Limits = DEFAULTS,
    stacks: bool = False,
) -> KernelSnapshot:
    """Load a driver (.sys) of the user, after ``others``, and run the system until it crashes.

    ``stacks``: record the call stacks.

    Raises NoBugCheck if it does not crash; LimitReached; ImageError for a file that is not a driver or has a missing
    import; OSError; RamSizeError, ConfigurationError, MachineError, StructureError.
    """
    path = Path(path)
    machine = machine_with(path, ram, build, processors, touched, others=others, limits=limits, stacks=stacks)
    outcome = machine.run()
    if isinstance(outcome, Finished):
        raise NoBugCheck(path.name, bytes(machine.output))
    return capture_kernel(machine, outcome)


def machine_with(
    path: Path,
    ram: str | int = "16M",
    build: int = 26100,
    processors: int = 2,
    touched: str | int = 0,
    *,
    others: Sequence[str | Path] = (),
    limits: Limits = DEFAULTS,
    stacks: bool = False,
) -> Machine:
    """A machine that is ready to load a driver of the user. Parameters and errors are those of ``run_driver``."""
    configuration = Configuration(
        ram=_size(ram),
        processors=processors,
        build=build,
        touched=_size(touched),
        task=GuestTask(ticks=DRIVER_TICKS, program=Program.CALL_DRIVER),
        kernel=KernelSet.RUNTIME,
        drivers=(*map(Path, others), path),
    )
    return Machine(Boot(configuration), limits, path.name, stacks=stacks)


def _size(value: str | int) -> int:
    return parse_size(value) if isinstance(value, str) else value
