"""Starts a process with all system services."""

from __future__ import annotations

from pathlib import Path

from ..limits import DEFAULTS, Limits
from ..snapshot.process import XstateConfiguration

# The imports register the services.
from . import (  # noqa: F401
    service_context,
    service_exception,
    service_file,
    service_file_information,
    service_image,
    service_memory,
    service_object,
    service_sync,
    service_thread,
    service_token,
)
from .library import SYSTEM_IMAGES
from .outcome import Chance
from .process import Process
from .services import ServiceTable


def start_process(
    program: Path,
    command_line: str | None = None,
    *,
    dll_directories: tuple[Path, ...] = (),
    system_directory: Path = SYSTEM_IMAGES,
    chance: Chance = "second",
    limits: Limits = DEFAULTS,
    xstate: XstateConfiguration | None = None,
    stacks: bool = False,
) -> Process:
    """A process that is ready to run its first instruction. Parameters and errors are those of ``Process``."""
    return Process(
        program,
        command_line,
        services=ServiceTable(),
        dll_directories=dll_directories,
        system_directory=system_directory,
        chance=chance,
        limits=limits,
        xstate=xstate,
        stacks=stacks,
    )
