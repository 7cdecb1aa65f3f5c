"""Runs the user-mode scenarios and programs of the user, and returns a snapshot of the stopped process.

Every scenario declares its exception from exports of the images and from the fixed addresses in crash.c, not from a
run. A run with another event is an error.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..capture.process import capture
from ..errors import DumptruthError
from ..image import ImageError
from ..limits import DEFAULTS, Limits
from ..process.library import RUNTIME_IMAGES, SYSTEM_IMAGES, load_file
from ..process.loader import preferred_place
from ..process.outcome import Chance, Exited, RunError
from ..process.process import STACK_AREA
from ..process.start import start_process
from ..process.winnt import PAGE_SIZE, Status, StatusError
from ..snapshot.process import ExceptionEvent, ProcessSnapshot
from ..snapshot.processor_state import AVX_STATE

__all__ = [
    "SCENARIOS",
    "STACK_SCENARIOS",
    "ExitedNormally",
    "ExpectationError",
    "ExpectedEvent",
    "ImageError",
    "RunError",
    "Scenario",
    "ScenarioError",
    "find_scenario",
    "run_program",
    "run_scenario",
]

CRASH_PROGRAM = SYSTEM_IMAGES / "crash.exe"
STACK_PROGRAM = SYSTEM_IMAGES / "stacks.exe"

# The addresses that crash.c allocates (see its first comment).
_READ_ONLY_PAGE = 0x20000000000
_NO_EXECUTE_PAGE = 0x20000010000
_GUARD_PAGE = 0x20000020000
_GENERATED_CODE = 0x20000050000
_PRIVATE_HEAP = 0x20000100000
_WILD_TARGET = 0x00000BAD00000BA0
_LAST_GUARD_PAGE = STACK_AREA + PAGE_SIZE  # of the main thread's stack, whose lowest page stays reserved
_EVERYWHERE = (1 << 64) - 1


class ScenarioError(DumptruthError):
    """The scenario does not exist. The message is one line."""


class ExpectationError(DumptruthError):
    """A scenario ended with another event than it declares. The message is one line with both events."""


class ExitedNormally(DumptruthError):  # noqa: N818 - it is an outcome, not an error
    """A program exited, so there is nothing to dump. ``status`` is its exit code (0 to 0xFFFFFFFF)."""

    def __init__(self, program: str, status: int, output: bytes) -> None:
        super().__init__(f"{program}: exited with code {status} (0x{status:X}) and did not crash: nothing to dump")
        self.status = status
        self.output = output
        """The program's output to its console."""


@dataclass(frozen=True, slots=True)
class ExpectedEvent:
    """Code, address and parameters of an exception."""

    code: int
    address: int
    information: tuple[int, ...]

    def __str__(self) -> str:
        parameters = ", ".join(f"0x{value:X}" for value in self.information) or "none"
        return f"code 0x{self.code:08X} at 0x{self.address:X}, parameters {parameters}"


@dataclass(frozen=True, slots=True)
class _Declaration:
    """A declared exception. ``place`` is its address, as a number, as ``image!export`` or as ``image!export+0x4``."""

    code: int
    place: int | str
    information: tuple[int, ...] = ()


@dataclass(frozen=True)
class Scenario:
    """A named crash. ``declared`` is None if the target stops without an exception."""

    name: str
    description: str
    declared: _Declaration | None
    mode: str = "user"
    arch: str = "amd64"
    avx_threads: tuple[str, ...] = ()
    """Names of the threads that get AVX state. It is set, not computed: Unicorn executes no AVX instruction."""
    program: Path = CRASH_PROGRAM

    @property
    def command_line(self) -> str:
        """The command line of the program for this scenario."""
        return f"{self.program.name} {self.name}"

    @cached_property
    def expected(self) -> ExpectedEvent | None:
        """The declared event with its address. Loads images but runs no code."""
        if self.declared is None:
            return None
        place = self.declared.place
        address = place if isinstance(place, int) else _export_address(place)
        return ExpectedEvent(self.declared.code, address, self.declared.information)


def _export_address(place: str) -> int:
    name, _, site = place.partition("!")
    export, _, offset = site.partition("+")
    image = load_file(SYSTEM_IMAGES / name)
    return preferred_place(image) + image.export_rva(export) + int(offset or "0", 16)


_AV = Status.ACCESS_VIOLATION

SCENARIOS = (
    Scenario("null-read", "reads a field of a null pointer", _Declaration(_AV, "crash.exe!crash_read_site", (0, 0x10))),
    Scenario(
        "null-write", "writes a field of a null pointer", _Declaration(_AV, "crash.exe!crash_write_site", (1, 0x18))
    ),
    Scenario(
        "write-read-only",
        "writes to a page with PAGE_READONLY",
        _Declaration(_AV, "crash.exe!crash_write_site", (1, _READ_ONLY_PAGE + 0x18)),
    ),
    Scenario(
        "execute-nx",
        "calls an address in a page without execute permission",
        _Declaration(_AV, _NO_EXECUTE_PAGE + 0x40, (8, _NO_EXECUTE_PAGE + 0x40)),
    ),
    Scenario("wild-call", "calls an unmapped address", _Declaration(_AV, _WILD_TARGET, (8, _WILD_TARGET))),
    Scenario(
        "non-canonical",
        "reads a non-canonical address; the processor reports no address",
        _Declaration(_AV, "crash.exe!crash_read_site", (0, _EVERYWHERE)),
    ),
    Scenario(
        "divide-by-zero",
        "divides by zero",
        _Declaration(Status.INTEGER_DIVIDE_BY_ZERO, "crash.exe!crash_divide_site"),
    ),
    Scenario(
        "illegal-instruction",
        "executes UD2",
        _Declaration(Status.ILLEGAL_INSTRUCTION, "crash.exe!crash_illegal_site"),
    ),
    Scenario("breakpoint", "calls DebugBreak", _Declaration(Status.BREAKPOINT, "ntdll.dll!DbgBreakPoint", (0,))),
    Scenario(
        "fast-fail",
        "calls __fastfail with FAST_FAIL_FATAL_APP_EXIT",
        _Declaration(Status.STACK_BUFFER_OVERRUN, "crash.exe!crash_fast_fail_site", (7,)),
    ),
    Scenario(
        "stack-overflow",
        "recurses until it reaches the last guard page of its stack",
        _Declaration(Status.STACK_OVERFLOW, "crash.exe!crash_overflow_site", (1, _LAST_GUARD_PAGE + 0xF00)),
    ),
    Scenario(
        "guard-page",
        "reads a page with PAGE_GUARD",
        _Declaration(Status.GUARD_PAGE_VIOLATION, "crash.exe!crash_read_site", (0, _GUARD_PAGE + 0x10)),
    ),
    Scenario(
        "heap-use-after-free",
        "frees a large heap block, whose pages the heap decommits, then reads it",
        _Declaration(_AV, "crash.exe!crash_read_site", (0, _PRIVATE_HEAP + 0xDF000 + 0x20)),
    ),
    Scenario(
        "raised-exception",
        "raises a software exception with three parameters",
        _Declaration(0xE0425150, "kernel32.dll!RaiseException_return", (0x1111, 0x22222222, 0x3333333333333333)),
    ),
    Scenario(
        "dll-after-unload",
        "writes through a null pointer in alpha.dll after unloading beta.dll",
        _Declaration(_AV, "alpha.dll!alpha_write_site", (1, 0x20)),
    ),
    Scenario(
        "secondary-thread",
        "reads through a null pointer on a thread other than the main thread",
        _Declaration(_AV, "crash.exe!crash_secondary_site", (0, 0x30)),
    ),
    Scenario("deadlock", "two threads wait for each other's mutex; every thread waits, without an exception", None),
    Scenario(
        "every-stream",
        "crashes in generated code; has function tables, traced handles, a token and AVX state (set, not computed)",
        _Declaration(_AV, _GENERATED_CODE + 0x45, (1, 0x38)),
        avx_threads=("main", "computes"),
    ),
)


def _stack(name: str, description: str, site: str, address: int) -> Scenario:
    return Scenario(
        f"stack-{name}",
        description,
        _Declaration(_AV, f"{STACK_PROGRAM.name}!{site}", (0, address)),
        program=STACK_PROGRAM,
    )


# The addresses that stacks.c lists in its first comment.
STACK_SCENARIOS = (
    _stack("leaf", "crashes in a leaf function, which has no unwind data", "leaf", 0x10),
    _stack(
        "tail-call", "crashes in a function that was jumped to: its caller's frame is gone", "tail_target+0x4", 0x14
    ),
    _stack("dynamic", "crashes below a stack of dynamic size: only a frame pointer leads on", "dynamic_leaf", 0x18),
    _stack("epilogue", "crashes in an epilogue: the frame is gone, the return address is not", "epilogue+0x15", 0),
    _stack("prologue", "crashes in a prologue: half of the frame is there", "prologue+0x1", 0x1C),
    _stack("no-unwind", "crashes below a function whose unwind data is missing", "no_unwind_leaf", 0x20),
    _stack("chained", "crashes below a function with chained unwind data", "chained_leaf", 0x24),
    _stack("corrupted", "crashes in a function whose return address was overwritten", "corrupted+0x10", 0x28),
    _stack("long-jump", "crashes after a jump over frames that never returned", "long_jump+0x1a", 0x2C),
    _stack("other", "crashes on a second stack; the callers are on the first", "on_other_stack+0x4", 0x30),
)
"""Crashes of stacks.exe, for stack walkers."""


def find_scenario(name: str) -> Scenario:
    """The user-mode scenario of that name. Raises ScenarioError, with the list of names."""
    for scenario in (*SCENARIOS, *STACK_SCENARIOS):
        if scenario.name == name:
            return scenario
    known = ", ".join(scenario.name for scenario in (*SCENARIOS, *STACK_SCENARIOS))
    raise ScenarioError(f"no scenario is called {name!r}; there are {known}")


def run_scenario(name: str, limits: Limits = DEFAULTS, *, stacks: bool = False) -> ProcessSnapshot:
    """Run a scenario to its crash. ``stacks``: record the call stacks.

    Raises ScenarioError, ExpectationError, LimitReached, RunError.
    """
    scenario = find_scenario(name)
    try:
        snapshot = _run(
            scenario.program,
            scenario.command_line,
            (),
            avx_threads=scenario.avx_threads,
            limits=limits,
            stacks=stacks,
        )
    except ExitedNormally as exited:
        raise ExpectationError(f"scenario {name}: {exited}") from exited
    expected, found = scenario.expected, _event(snapshot.exception)
    if found != expected:
        raise ExpectationError(f"scenario {name}: expected {expected or 'no exception'}, found {found or 'none'}")
    return snapshot


def run_program(
    path: str | Path,
    arguments: Sequence[str] = (),
    *,
    dlls: Sequence[str | Path] = (),
    limits: Limits = DEFAULTS,
    chance: Chance = "second",
    stacks: bool = False,
) -> ProcessSnapshot:
    """Run a PE file of the user to its crash.

    ``chance`` is where an exception stops it: "first", before its handlers, or "second", if all of them declined.
    ``dlls`` are folders with DLLs, in addition to the program's own folder. Every program can also load alpha.dll and
    beta.dll. ``stacks``: record the call stacks.

    Raises ExitedNormally; LimitReached for a program that does not end; ImageError for a file that is not a
    PE file, is for another machine or is a DLL; RunError for a missing import; OSError.
    """
    path = Path(path)
    folders = (*map(Path, dlls), SYSTEM_IMAGES)
    return _run(
        path,
        subprocess.list2cmdline([path.name, *arguments]),
        folders,
        system=RUNTIME_IMAGES,
        chance=chance,
        limits=limits,
        stacks=stacks,
    )


def _run(
    path: Path,
    command_line: str,
    dlls: tuple[Path, ...],
    *,
    limits: Limits,
    stacks: bool,
    avx_threads: tuple[str, ...] = (),
    system: Path = SYSTEM_IMAGES,
    chance: Chance = "second",
) -> ProcessSnapshot:
    xstate = AVX_STATE if avx_threads else None
    try:
        process = start_process(
            *(path, command_line),
            dll_directories=dlls,
            system_directory=system,
            chance=chance,
            limits=limits,
            xstate=xstate,
            stacks=stacks,
        )
    except StatusError as error:
        raise RunError(f"{path.name}: cannot be loaded: {error}") from error
    outcome = process.run()
    if isinstance(outcome, Exited):
        raise ExitedNormally(path.name, outcome.status, bytes(process.console))
    return capture(process, outcome, avx_threads=avx_threads)


def _event(exception: ExceptionEvent | None) -> ExpectedEvent | None:
    return None if exception is None else ExpectedEvent(exception.code, exception.address, exception.information)
