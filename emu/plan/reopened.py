"""What the engine knows of a process when its target is a full dump of the process, not the process itself."""

from __future__ import annotations

from dataclasses import replace

from ..request import Session
from ..snapshot.process import ExceptionEvent, ProcessSnapshot, SystemInformation
from .engines import Engine

_FILE = "File"
_BREAKPOINT = 0x80000003  # ntstatus.h STATUS_BREAKPOINT
_ALL = (0xFFFF, 0xFFFF)


def as_seen(snapshot: ProcessSnapshot, session: Session, engine: Engine) -> ProcessSnapshot:
    """Return the process as a debugger sees it: of a dump target without what a dump cannot tell.

    Lost are CodeView records, DllCharacteristics, names of files, exit status of threads and extended processor state
    (docs/format/minidump-contents.md#what-a-re-dump-loses). Without an event the engine makes one up
    (docs/format/minidump-contents.md#exception-stream).
    """
    if session == Session.LIVE:
        return snapshot
    exception = snapshot.exception
    if exception is None and snapshot.threads:
        first = snapshot.threads[0]
        exception = ExceptionEvent(first.thread_id, _BREAKPOINT, 0, 0, 0, (), first.context, True)
    return replace(
        snapshot,
        system=_system(snapshot.system, engine),
        threads=tuple(replace(thread, exit_status=0) for thread in snapshot.threads),
        modules=tuple(replace(module, code_view=None, dll_characteristics=0) for module in snapshot.modules),
        handles=tuple(
            replace(handle, object_name=None) if handle.type_name == _FILE else handle for handle in snapshot.handles
        ),
        exception=exception,
    )


def _system(system: SystemInformation, engine: Engine) -> SystemInformation:
    level, revision = engine.processor_kept.get(system.architecture, _ALL)
    return replace(
        system,
        xstate=None,
        processor_level=system.processor_level & level,
        processor_revision=system.processor_revision & revision,
    )
