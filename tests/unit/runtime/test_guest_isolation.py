"""The guest reaches no file, network, process or clock of the host, whatever it asks of the system services."""

from __future__ import annotations

import ast
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from dumptruth.emu.constants import MEM_COMMIT, MEM_RESERVE, PAGE_READWRITE
from dumptruth.emu.errors import RunError
from dumptruth.emu.images.services import services
from dumptruth.emu.limits import Limits
from dumptruth.emu.machine.paging import PageNotPresent
from dumptruth.emu.process import service_file
from dumptruth.emu.process.library import RUNTIME_IMAGES, SYSTEM_IMAGES
from dumptruth.emu.process.process import Process
from dumptruth.emu.process.services import Call, ServiceTable
from dumptruth.emu.process.start import start_process
from dumptruth.emu.process.winnt import StatusError

from ...marks import needs_compiler
from ..services.calls import Kernel
from .win32_programs import output

HOST_NAMES = (
    r"\??\C:\..\..\..\etc\passwd",
    "/etc/passwd",
    "etc/passwd",
    r"\??\C:\Windows\win.ini",
    r"\??\UNC\server\share\file",
    r"\\.\PhysicalDrive0",
    r"\Device\HarddiskVolume1\Windows\System32\ntdll.dll",
    r"\Device\NamedPipe\x",
    r"\Device\Afd",
    str(Path(__file__)),
    str(Path(__file__).parent.parent / "evil.dll"),
    r"..\..\..\evil.dll",
)
# What Python tells an audit hook of files, sockets and processes: docs.python.org, "Audit events table".
WATCHED = (
    "open",
    "os.",
    "pathlib.",
    "shutil.",
    "glob.",
    "socket.",
    "subprocess.",
    "ctypes.dlopen",
    "urllib.",
    "winreg.",
)
_events: list[tuple[str, str]] | None = None


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if _events is not None and event.startswith(WATCHED):
        _events.append((event, str(arguments[0]) if arguments else ""))


sys.addaudithook(_hook)  # for ever, but it looks only while `watched` runs


@contextmanager
def watched() -> Iterator[list[tuple[str, str]]]:
    global _events  # noqa: PLW0603 - an audit hook cannot be taken away
    found: list[tuple[str, str]] = []
    _events = found
    try:
        yield found
    finally:
        _events = None


def kernel() -> Kernel:
    process = start_process(SYSTEM_IMAGES / "crash.exe", system_directory=RUNTIME_IMAGES)
    scratch, _ = process.memory.space.allocate(0, 0x2000, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE)
    process.scheduler.pick()
    return Kernel(process, scratch)


def test_the_watch_sees_an_opened_file() -> None:
    with watched() as found:
        Path(__file__).read_bytes()
    assert ("open", str(Path(__file__))) in found


def arguments(chance: random.Random, target: Kernel, count: int) -> tuple[int, ...]:
    """Arguments of every kind: pointers, attributes with a name of the host, handles, small numbers, wild values."""
    name = target.attributes(chance.choice(HOST_NAMES))
    target.put(0x100, -10_000, 0x1000, 4)
    values = (0, 1, 2, 3, 4, 5, 8, 0x28, 0x40, target.scratch, target.scratch + 0x100, name, name + 0x30, 1 << 47)
    handles = [value for value, _ in target.process.handles]
    return tuple(chance.choice((*values, chance.choice(handles), (1 << 64) - 1)) for _ in range(count))


@pytest.mark.parametrize("name", [service.name for service in services()])
def test_no_service_touches_the_host(name: str) -> None:
    """The loader's services read DLLs, but only from the folders that the user named."""
    row = next(service for service in services() if service.name == name)
    target, chance = kernel(), random.Random(name)
    found = ServiceTable().find(row.number)
    assert found is not None
    with watched() as events:
        for _ in range(60):
            call = Call(target.process, target.main, arguments(chance, target, row.arguments))
            with suppress(StatusError, RunError, PageNotPresent):
                found[1](call)
            if not target.process.scheduler.threads:
                break
            if target.main.wait is not None:
                target.process.scheduler.wake(target.main, 0)
    allowed = (str(SYSTEM_IMAGES), str(RUNTIME_IMAGES)) if name == "NtxMapDll" else ()
    assert [event for event in events if not event[1].startswith(allowed or ("\0",))] == []


@pytest.mark.parametrize("name", HOST_NAMES)
def test_a_name_of_the_host_leads_to_no_file_and_no_dll(name: str) -> None:
    target = kernel()
    attributes = target.attributes(name)
    with watched() as events:
        for service, *rest in (
            ("NtOpenFile", 0x80100000, attributes, target.scratch + 0x80, 7, 0x20),
            ("NtQueryFullAttributesFile", target.scratch + 0x100),
            ("NtxMapDll", target.scratch),
        ):
            first = {"NtOpenFile": target.scratch, "NtxMapDll": attributes + 0x30}.get(service, attributes)
            status = target(service, first, *rest)
            assert isinstance(status, int)
            assert status >> 30 == 3  # an error
    assert [event for event in events if not event[1].startswith((str(SYSTEM_IMAGES), str(RUNTIME_IMAGES)))] == []


# What a module of system services may import besides this package: nothing that reaches the host.
PURE = {
    "__future__",
    "collections",
    "collections.abc",
    "dataclasses",
    "enum",
    "fnmatch",
    "functools",
    "re",
    "struct",
    "typing",
}


def test_the_modules_of_services_import_nothing_that_reaches_the_host() -> None:
    folder = Path(service_file.__file__).parent
    modules = [*folder.glob("service_*.py"), *(folder / f"{name}.py" for name in ("files", "objects", "scheduler"))]
    assert len(modules) > 9
    for module in modules:
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert {name.name for name in node.names} <= PURE, module.name
            elif isinstance(node, ast.ImportFrom) and not node.level:
                assert node.module in PURE, module.name
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in ("open", "exec", "eval", "__import__"), module.name


CLOCKS = """
int mainCRTStartup(void)
{
    LARGE_INTEGER counter;
    FILETIME time;
    unsigned low, high;
    for (int i = 0; i < 3; i++) {
        QueryPerformanceCounter(&counter);
        say_number((unsigned long long)counter.QuadPart);
        GetSystemTimePreciseAsFileTime(&time);
        say_number(time.dwLowDateTime);
        say_number(GetTickCount64());
        __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
        say_number(low);
        say_number(*(volatile unsigned *)0x7FFE0014);
        Sleep(1234);
    }
    return 0;
}
"""


@needs_compiler
def test_every_clock_of_the_guest_is_the_same_at_another_time_of_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = output(tmp_path, CLOCKS)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 86_400)
    process: Process = start_process(tmp_path / "program.exe", system_directory=RUNTIME_IMAGES)
    process.run()
    assert process.console.decode() == first
    assert len(first.split()) == 15


@needs_compiler
def test_programs_that_use_services_only_are_stopped_by_the_limits(tmp_path: Path) -> None:
    loops = {
        "services": 'for (;;) GetFileAttributesA("C:\\\\");',
        "guest-seconds": "for (;;) Sleep(10000000);",
        "blocks": "for (volatile int i = 0;; i++) if (i < 0) i = 0;",
    }
    few = {"services": 300, "guest_seconds": 30, "blocks": 20_000}
    for name, code in loops.items():
        limits = Limits(**{name.replace("-", "_"): few[name.replace("-", "_")]})
        with pytest.raises(RunError, match=rf"used up the limit of .*--limit {name}=N changes it"):
            output(tmp_path, f"int mainCRTStartup(void)\n{{\n{code}\n}}\n", limits=limits)
