"""Defines the parameters of a machine and the values of the Windows builds that it can simulate."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import DumptruthError
from ..images import kernel as kernel_images
from ..process.system import BOOT_TIME
from .boot_block import MAXIMUM_BOOT_PROCESSORS, GuestScenario, Program

KERNEL_FOLDER = Path(kernel_images.__file__).parent
_RUNTIME_FOLDER = KERNEL_FOLDER / "runtime"
UP_TIME = 9 * 36_000_000_000 + 26 * 600_000_000 + 53 * 10_000_000
"""Time from boot to the start of the scenario, in units of 100 ns: 09:26:53."""


class KernelSet(enum.Enum):
    """Which images a machine boots. Those of the scenarios never change: recorded dumps hold their bytes."""

    SCENARIOS = "scenarios"
    """What the built-in drivers need."""
    RUNTIME = "runtime"
    """A kernel with the routines that drivers of the user call, and a program that calls the drivers."""

    def file(self, name: str) -> Path:
        """The image ``name``. An image that a set does not have of its own is that of the scenarios."""
        own = _RUNTIME_FOLDER / name
        return own if self is KernelSet.RUNTIME and own.is_file() else KERNEL_FOLDER / name


class ConfigurationError(DumptruthError):
    """The parameters of a machine are invalid. The message is one line."""


@dataclass(frozen=True, slots=True)
class Build:
    """A Windows build. ``lab`` is the NtBuildLabEx that public dumps of the build hold."""

    number: int
    major: int
    minor: int
    lab: str


BUILDS = {
    build.number: build
    for build in (
        Build(9600, 6, 3, "9600.17415.amd64fre.winblue_r4.141028-1500"),
        Build(19041, 10, 0, "19041.1.amd64fre.vb_release.191206-1406"),
        Build(26100, 10, 0, "26100.1.amd64fre.ge_release.240331-1435"),
    )
}
PRODUCT_TYPE = 1  # winnt.h VER_NT_WORKSTATION
# winnt.h VER_SUITE_TERMINAL | VER_SUITE_SINGLEUSERTS, as in real headers
# (docs/format/kernel-header-fields.md#product-and-suite).
SUITE_MASK = 0x110


@dataclass(frozen=True, slots=True)
class GuestTask:
    """The task of crashdrv.sys and app.exe, which is the last part of the boot block."""

    scenario: GuestScenario = GuestScenario.NONE
    arguments: tuple[int, int, int, int] = (0, 0, 0, 0)
    code: int = 0
    callbacks: int = 0
    ticks: int = 0
    program: Program = Program.IDLE
    """Action of the first thread of app.exe."""
    critical_program: Program = Program.IDLE
    """Action of the thread of the critical process."""


@dataclass(frozen=True)
class Configuration:
    """The parameters of a machine.

    ``ram`` is in bytes. A user process fills ``touched`` bytes of it, in addition to the memory that the machine needs.
    ``drivers`` are the drivers to load, on the kernel of ``kernel``. ``boot_time`` is a FILETIME. Raises
    ConfigurationError.
    """

    ram: int
    processors: int = 1
    build: int = 26100
    touched: int = 0
    task: GuestTask = field(default_factory=GuestTask)
    kernel: KernelSet = KernelSet.SCENARIOS
    drivers: tuple[Path, ...] = (KERNEL_FOLDER / "crashdrv.sys",)
    boot_time: int = BOOT_TIME
    interrupt_time: int = UP_TIME

    def __post_init__(self) -> None:
        if self.build not in BUILDS:
            raise ConfigurationError(f"build {self.build}: expected one of {', '.join(map(str, BUILDS))}")
        if not 1 <= self.processors <= MAXIMUM_BOOT_PROCESSORS:
            raise ConfigurationError(f"{self.processors} processors: expected 1 to {MAXIMUM_BOOT_PROCESSORS}")
        if not 0 <= self.touched <= self.ram:
            raise ConfigurationError(f"{self.touched:#x} bytes to touch: expected 0 to {self.ram:#x}, the size of RAM")
