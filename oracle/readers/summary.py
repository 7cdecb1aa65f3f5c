"""Summarizes a dump in a few lines: the system, the crash, and what the file holds."""

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
"""Characters of a comment."""
_MEMBERS_SHOWN = 20
_EXCEPTION_DEBUG_EVENT = 1  # minwinbase.h


def summary(source: ByteSource, kind: str) -> dict[str, str]:
    """The summary of a dump or a cabinet, name -> value; empty for other kinds. Never raises on content.

    ``kind`` is that of ``identify``. For a cabinet, ``dump`` names the dump inside, and the dump's own summary follows.
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
    lines: dict[str, str] = {}
    if dump.header is not None:
        stamp = datetime.fromtimestamp(dump.header["TimeDateStamp"], UTC)
        lines["time"] = stamp.isoformat(sep=" ", timespec="seconds")
    system = dump.system_info
    if system is not None:
        version = ".".join(str(system[name]) for name in ("MajorVersion", "MinorVersion", "BuildNumber"))
        machine = dump.architecture or f"architecture {system['ProcessorArchitecture']}"
        lines["system"] = f"{version}, {machine}, {_count(system['NumberOfProcessors'], 'processor')}"
    if dump.misc_info is not None:
        lines["process"] = str(dump.misc_info["ProcessId"])
    if dump.exception is not None:
        record = dump.exception.record
        code, address = (record[f"ExceptionRecord.Exception{name}"] for name in ("Code", "Address"))
        lines["exception"] = f"{code:#x} at {address:#x} in thread {record['ThreadId']:#x}"
    lines["threads"] = str(len(dump.threads))
    names = [module.name.text for module in dump.modules[:1] if module.name is not None]
    lines["modules"] = ", ".join([str(len(dump.modules)), *names])
    size = sum(end - start for start, end in dump.captured())
    lines["memory"] = f"{_size(size)} in {_count(len(dump.memory), 'range')}"
    if dump.comment is not None and dump.comment.text is not None:
        lines["comment"] = dump.comment.text[:_COMMENT_SHOWN]
    lines["streams"] = ", ".join(f"{_plain(stream.name)} {_size(stream.size)}" for stream in dump.streams.values())
    return lines


def _plain(name: str) -> str:
    """``stream 3 (ThreadListStream)`` without its number."""
    return name.partition("(")[2].rstrip(")") or name


def _kernel(dump: KernelDump) -> dict[str, str]:
    header = dump.header
    if header is None:
        return {}
    machine = dump.architecture or f"machine {header['MachineImageType']:#x}"
    lines = {
        "system": f"build {dump.build}, {machine}, {_count(header['NumberProcessors'], 'processor')}",
        "bug check": _bug_check(header),
    }
    if (when := _time(header["SystemTime"])) is not None:
        lines["time"] = when
    if dump.paged:
        total = dump.pages.total
        lines["pages"] = f"{total} ({_size(total * 0x1000)}) in {_count(sum(1 for _ in dump.pages.runs()), 'run')}"
    if dump.triage is not None:
        size = sum(block.size for block in dump.triage.data_blocks)
        lines["memory"] = f"{_size(size)} in {_count(len(dump.triage.data_blocks), 'data block')}"
        lines["layout"] = dump.triage.layout
    if dump.modules:
        lines["drivers"] = str(len(dump.modules))
    if dump.blobs:
        size = sum(len(blob.data) for blob in dump.blobs)
        lines["secondary data"] = f"{_size(size)} in {_count(len(dump.blobs), 'blob')}"
    return lines


def _userdump(dump: UserDump) -> dict[str, str]:
    if dump.header is None:
        return {}
    machine = dump.architecture or f"machine {dump.header['MachineImageType']:#x}"
    lines = {"system": f"{dump.header['MajorVersion']}.{dump.header['MinorVersion']}, {machine}"}
    if (event := dump.debug_event) is not None:
        lines["process"] = str(event["dwProcessId"])
        if event["dwDebugEventCode"] == _EXCEPTION_DEBUG_EVENT:
            code, address = (event[f"u.Exception.ExceptionRecord.Exception{name}"] for name in ("Code", "Address"))
            lines["exception"] = f"{code:#x} at {address:#x} in thread {event['dwThreadId']:#x}"
    lines["threads"] = str(len(dump.threads))
    names = [module.text.decode("cp1252", "replace") for module in dump.modules[:1]]
    lines["modules"] = ", ".join([str(len(dump.modules)), *names])
    size = sum(end - start for start, end in dump.captured())
    lines["memory"] = f"{_size(size)} in {_count(len(dump.memory), 'region')}"
    return lines


def _cabinet(cabinet: Cabinet) -> dict[str, str]:
    lines = {"members": ", ".join(f"{member.name} {_size(member.size)}" for member in cabinet.members[:_MEMBERS_SHOWN])}
    if len(cabinet.members) > _MEMBERS_SHOWN:
        lines["members"] += f" and {len(cabinet.members) - _MEMBERS_SHOWN} more"
    for member, kind in cabinet.dumps()[:1]:
        assert member.source is not None
        identity = identify(member.source)
        lines["dump"] = f"{member.name}, {identity.description}"
        lines |= identity.facts | summary(member.source, kind)
    return lines


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
