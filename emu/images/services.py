"""Reads the table of system services (`services.toml`) for the image builder and the process model."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Service:
    """One system service: its `number` in EAX, `name`, count of `arguments`, and a `note` on them.

    Only the ntdll of the runtime system exports a service with `runtime`.
    """

    number: int
    name: str
    arguments: int
    note: str
    runtime: bool = False


@cache
def services() -> tuple[Service, ...]:
    """Every service, in the order of the table."""
    rows = tomllib.loads((FOLDER / "services.toml").read_text(encoding="utf-8"))["service"]
    return tuple(Service(**row) for row in rows)


def exported_services(*, runtime: bool) -> tuple[Service, ...]:
    """The services that ntdll of the runtime system exports, or ntdll of the small system."""
    return tuple(service for service in services() if runtime or not service.runtime)


def amd64_stubs(*, runtime: bool = False) -> str:
    """The assembly source of ntdll's stubs. R10 gets RCX, which SYSCALL overwrites; EAX gets the number."""
    lines = ["    .text"]
    for service in exported_services(runtime=runtime):
        lines += [
            f"    .globl  {service.name}",
            f"    .def    {service.name}; .scl 2; .type 32; .endef",
            "    .p2align 4",
            f"{service.name}:",
            "    movq.s  %rcx, %r10",  # .s: 4C 8B D1, the encoding of Windows' own stubs
            f"    movl    ${service.number:#x}, %eax",
            "    syscall",
            "    ret",
        ]
    return "\n".join(lines) + "\n"


def number_of(name: str) -> int:
    """The number of the service called ``name``."""
    return next(row.number for row in services() if row.name == name)
