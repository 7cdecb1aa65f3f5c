"""What a dump says of its target, in a few lines for people: the system, the crash, what is in the file."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ..decode import Record
from ..memory.source import ByteSource
from .cab import read_cabinet
from .cab_facts import Cabinet
from .facts import Dump
from .identify import CABINET, KERNEL_DUMP, MINIDUMP, USERDUMP, identify
from .kernel import read_kernel
from .kernel_dump import KernelDump
from .minidump import read_minidump
from .userdump import read_userdump
from .userdump_facts import UserDump

_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
_KIB, _MIB = 1 << 10, 1 << 20
_COMMENT_SHOWN = 200
"""Characters."""
_MEMBERS_SHOWN = 20
_EXCEPTION_DEBUG_EVENT = 1  # minwinbase.h


def summary(source: ByteSource, kind: str) -> dict[str, str]:
    """Name -> value, for dumps and for cabinets; nothing for any other kind. Never raises on content.

    Of a cabinet with a dump inside, ``dump`` names it, and what it says itself follows.
    """
    if kind == MINIDUMP:
        return _minidump(read_minidump(source))
    if kind == KERNEL_DUMP:
        return _kernel(read_kernel(source))
    if kind == USERDUMP:
        return _userdump(read_userdump(source))
    if kind == CABINET:
        return _cabinet(read_cabinet(source))
    return {}


def _minidump(dump: Dump) -> dict[str, str]:
    told: dict[str, str] = {}
    if dump.header is not None:
        stamp = datetime.fromtimestamp(dump.header["TimeDateStamp"], UTC)
        told["time"] = stamp.isoformat(sep=" ", timespec="seconds")
    system = dump.system_info
    if system is not None:
        version = ".".join(str(system[name]) for name in ("MajorVersion", "MinorVersion", "BuildNumber"))
        machine = dump.architecture or f"architecture {system['ProcessorArchitecture']}"
        told["system"] = f"{version}, {machine}, {_count(system['NumberOfProcessors'], 'processor')}"
    if dump.misc_info is not None:
        told["process"] = str(dump.misc_info["ProcessId"])
    if dump.exception is not None:
        record = dump.exception.record
        code, address = (record[f"ExceptionRecord.Exception{name}"] for name in ("Code", "Address"))
        told["exception"] = f"{code:#x} at {address:#x} in thread {record['ThreadId']:#x}"
    told["threads"] = str(len(dump.threads))
    names = [module.name.text for module in dump.modules[:1] if module.name is not None]
    told["modules"] = ", ".join([str(len(dump.modules)), *names])
    size = sum(end - start for start, end in dump.captured())
    told["memory"] = f"{_size(size)} in {_count(len(dump.memory), 'range')}"
    if dump.comment is not None and dump.comment.text is not None:
        told["comment"] = dump.comment.text[:_COMMENT_SHOWN]
    told["streams"] = ", ".join(f"{_plain(stream.name)} {_size(stream.size)}" for stream in dump.streams.values())
    return told


def _plain(name: str) -> str:
    """``stream 3 (ThreadListStream)`` without its number."""
    return name.partition("(")[2].rstrip(")") or name


def _kernel(dump: KernelDump) -> dict[str, str]:
    header = dump.header
    if header is None:
        return {}
    machine = dump.architecture or f"machine {header['MachineImageType']:#x}"
    told = {
        "system": f"build {dump.build}, {machine}, {_count(header['NumberProcessors'], 'processor')}",
        "bug check": _bug_check(header),
    }
    if (when := _time(header["SystemTime"])) is not None:
        told["time"] = when
    if dump.paged:
        total = dump.pages.total
        told["pages"] = f"{total} ({_size(total * 0x1000)}) in {_count(sum(1 for _ in dump.pages.runs()), 'run')}"
    if dump.triage is not None:
        size = sum(block.size for block in dump.triage.data_blocks)
        told["memory"] = f"{_size(size)} in {_count(len(dump.triage.data_blocks), 'data block')}"
        told["layout"] = dump.triage.layout
    if dump.modules:
        told["drivers"] = str(len(dump.modules))
    if dump.blobs:
        size = sum(len(blob.data) for blob in dump.blobs)
        told["secondary data"] = f"{_size(size)} in {_count(len(dump.blobs), 'blob')}"
    return told


def _userdump(dump: UserDump) -> dict[str, str]:
    if dump.header is None:
        return {}
    machine = dump.architecture or f"machine {dump.header['MachineImageType']:#x}"
    told = {"system": f"{dump.header['MajorVersion']}.{dump.header['MinorVersion']}, {machine}"}
    if (event := dump.debug_event) is not None:
        told["process"] = str(event["dwProcessId"])
        if event["dwDebugEventCode"] == _EXCEPTION_DEBUG_EVENT:
            code, address = (event[f"u.Exception.ExceptionRecord.Exception{name}"] for name in ("Code", "Address"))
            told["exception"] = f"{code:#x} at {address:#x} in thread {event['dwThreadId']:#x}"
    told["threads"] = str(len(dump.threads))
    names = [module.text.decode("cp1252", "replace") for module in dump.modules[:1]]
    told["modules"] = ", ".join([str(len(dump.modules)), *names])
    size = sum(end - start for start, end in dump.captured())
    told["memory"] = f"{_size(size)} in {_count(len(dump.memory), 'region')}"
    return told


def _cabinet(cabinet: Cabinet) -> dict[str, str]:
    told = {"members": ", ".join(f"{member.name} {_size(member.size)}" for member in cabinet.members[:_MEMBERS_SHOWN])}
    if len(cabinet.members) > _MEMBERS_SHOWN:
        told["members"] += f" and {len(cabinet.members) - _MEMBERS_SHOWN} more"
    for member, kind in cabinet.dumps()[:1]:
        assert member.source is not None
        identity = identify(member.source)
        told["dump"] = f"{member.name}, {identity.description}"
        told |= identity.facts | summary(member.source, kind)
    return told


def _bug_check(header: Record) -> str:
    parameters = ", ".join(f"{header[f'BugCheckParameter{number}']:#x}" for number in range(1, 5))
    return f"{header['BugCheckCode']:#x} ({parameters})"


def _time(filetime: int) -> str | None:
    try:
        return (_EPOCH + timedelta(microseconds=filetime // 10)).isoformat(sep=" ", timespec="seconds")
    except OverflowError:
        return None


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _size(size: int) -> str:
    if size < _KIB:
        return f"{size} B"
    return f"{size / _KIB:.1f} KiB" if size < _MIB else f"{size / _MIB:.1f} MiB"
