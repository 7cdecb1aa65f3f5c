"""Lists the user processes of a machine: those of a Windows session, and the program that the scenario is about.

MemProcFS accepts a machine with more than ten processes whose first one after System is smss.exe
(docs/format/engine.md#what-memprocfs-needs). They share the frames of their program's read-only pages.
"""

from __future__ import annotations

from .boot_block import Program
from .configuration import Configuration
from .system_space import pages_of
from .user_space import ProcessPlan

_SESSION_ROOM, _EXPLORER_ROOM = 6 << 20, 4 << 20
"""RAM that must be left for the processes of the session, and for explorer.exe."""
_SYSTEM, _SMSS, _CSRSS, _WININIT, _SERVICES = 4, 0x154, 0x1A4, 0x1F8, 0x250
_IDLE = (Program.IDLE,)
_EXPLORER_PAGES = 24


def process_plans(configuration: Configuration) -> list[ProcessPlan]:
    """The processes in the order of their start. A small machine has only those that scenarios need."""
    task, touched = configuration.task, configuration.touched
    session = configuration.ram - touched >= _SESSION_ROOM
    csrss = ProcessPlan("csrss.exe", _CSRSS, _SMSS, (task.critical_program,), age=9, critical=True)
    explorer = ProcessPlan(
        "explorer.exe",
        0x74C,
        0x6F0,  # userinit.exe, which has ended
        _IDLE,
        folder=r"\Windows",
        age=31,
        session=1,
        private_pages=max(_EXPLORER_PAGES, pages_of(touched)),
    )
    app = ProcessPlan(
        "app.exe", 0x9D8, 0x74C, (task.program, Program.IDLE), folder=r"\dumptruth", age=33_000, session=1
    )
    desktop = [explorer] if touched or configuration.ram >= _EXPLORER_ROOM else []
    if not session:
        return [csrss, *desktop, app]
    smss = _service("smss.exe", _SMSS, _SYSTEM, 7)
    services = [
        _service("wininit.exe", _WININIT, _SMSS, 10),
        _service("winlogon.exe", 0x224, _SMSS, 11, session=1),
        _service("services.exe", _SERVICES, _WININIT, 12),
        _service("lsass.exe", 0x268, _WININIT, 12),
        *(_service("svchost.exe", number, _SERVICES, 14) for number in (0x2E4, 0x330, 0x39C)),
    ]
    return [smss, csrss, *services, *desktop, app]


def _service(name: str, process_id: int, parent: int, age: int, session: int = 0) -> ProcessPlan:
    return ProcessPlan(name, process_id, parent, _IDLE, age=age, session=session, private_pages=1, transition_pages=0)
