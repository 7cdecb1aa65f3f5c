"""The description as text: rows of a name and its lines, for the terminal and the HTML report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from .model import Crash, Description, DumpDescription, Lists, MemoryHeld, Parameter, Process, System, Writer

_COMMENT_SHOWN: Final = 400
"""Characters of a comment."""
_MEMBERS_SHOWN: Final = 20

Row = tuple[str, tuple[str, ...]]


def rows(description: Description) -> list[Row]:
    """Name -> lines of text, in the order of their weight. Names and texts of the dump stay as they are."""
    found: list[Row] = []
    if description.members:
        shown = [f"{item.name}, {size_text(item.size)}" for item in description.members[:_MEMBERS_SHOWN]]
        if len(description.members) > _MEMBERS_SHOWN:
            shown.append(f"and {len(description.members) - _MEMBERS_SHOWN} more")
        found.append(("members", tuple(shown)))
    dump = description.dump
    if dump is None:
        return found
    if description.member is not None:
        found.append(("dump", (f"{description.member}, {dump.description}",)))
    found += [(name, tuple(lines)) for name, lines in _rows(dump) if lines]
    return found


def _rows(dump: DumpDescription) -> Iterator[tuple[str, list[str]]]:
    yield "crash", list(_crash(dump.crash))
    if dump.crash is not None and dump.crash.thread is not None:
        thread = dump.crash.thread
        yield "thread", [f"{thread.id:#x}" + (f' "{thread.name}"' if thread.name else "")]
    if dump.process is not None:
        yield "process", [_process(dump.process)]
    if dump.system is not None:
        yield "system", [_system(dump.system)]
    if dump.time is not None:
        up = "" if dump.uptime is None else f", {_duration(dump.uptime)} after the start of the system"
        yield "time", [_clock(dump.time) + up]
    yield "memory", [_memory(dump.memory, len(dump.lists.threads or ()))]
    yield "counts", [", ".join(_counted(number, name) for name, number in counts(dump.lists).items())]
    yield "holds", [", ".join(dump.holds)] if dump.holds else []
    yield "lacks", [", ".join(dump.lacks)] if dump.lacks else []
    yield "damaged", [", ".join(dump.damaged)] if dump.damaged else []
    yield "writer", _writer(dump.writer)
    yield "form", [] if dump.form is None else [dump.form]
    yield "comment", [] if not dump.comment else dump.comment[:_COMMENT_SHOWN].strip().splitlines()
    yield "size", [f"{size_text(dump.size)} ({dump.size} bytes)"]


def counts(lists: Lists) -> dict[str, int]:
    """How many entries each list has; without the lists that this kind of dump cannot have."""
    found = {
        "threads": lists.threads,
        "drivers" if lists.threads is None else "modules": lists.modules,
        "unloaded": lists.unloaded,
        "handles": lists.handles,
        "streams": lists.streams,
    }
    return {name: len(items) for name, items in found.items() if items is not None}


def _crash(crash: Crash | None) -> Iterator[str]:
    if crash is None:
        yield "none: the dump records no exception"
        return
    at = ""
    if crash.location is not None:
        at = f" at {crash.location}"
    elif crash.address:
        at = f" at {crash.address:#x}, in no module"
    yield f"{crash.name or 'unknown code'} ({crash.code:#x}){at}"
    if crash.meaning is not None:
        yield crash.meaning
    for number, parameter in enumerate(crash.parameters, 1):
        yield f"{number}: {_parameter(parameter)}"


def _parameter(parameter: Parameter) -> str:
    text = f"{parameter.value:#x}"
    if parameter.value_name is not None:
        text += f" {parameter.value_name}"
    elif parameter.location is not None:
        text += f" {parameter.location}"
    return text if parameter.meaning is None else f"{text}  ({parameter.meaning})"


def _process(process: Process) -> str:
    parts = [] if process.name is None else [process.name]
    if process.id is not None:
        parts.append(f"id {process.id:#x} ({process.id})")
    if process.started is not None:
        parts.append(f"started {_clock(process.started)}")
    return ", ".join(parts)


def _system(system: System) -> str:
    known = system.version.strip("0.")  # Breakpad on Linux stores zeros
    parts = [item for item in (system.name, f"({system.version})" if known else "") if item]
    parts = [" ".join(parts)] if parts else []
    parts += [item for item in (system.detail, system.product, system.architecture) if item]
    if system.processors is not None:
        parts.append(_count(system.processors, "processor"))
    return ", ".join(parts)


def _memory(memory: MemoryHeld, threads: int) -> str:
    size, ranges = size_text(memory.bytes), _count(memory.ranges, "range")
    stacks = f"{size_text(memory.stack_bytes)} of {memory.stacks} of {_count(threads, 'thread')}"
    if memory.extent == "none":
        return "none"
    if memory.extent == "physical pages":
        return f"{memory.pages} physical pages ({size}) in {_count(memory.ranges, 'run')}"
    if memory.extent == "full":
        of = "" if memory.committed is None else f" of {size_text(memory.committed)} committed"
        return f"full memory: {size}{of}, in {ranges}"
    if memory.extent == "stacks":
        return f"stacks only: {stacks}"
    if memory.extent == "stacks and more":
        return f"stacks ({stacks}) and {size_text(memory.bytes - memory.stack_bytes)} more, in {ranges}"
    return f"{size} in {ranges}"


def _writer(writer: Writer) -> list[str]:
    name = writer.name or "unknown"
    if writer.asked_by is not None:
        name += f", asked by {writer.asked_by}"
    return [name, *(" ".join(item.split()) for item in writer.evidence)]


def lists(description: Description) -> list[tuple[str, list[str]]]:
    """The lists of the dump, each as lines; without those that are empty."""
    if description.dump is None:
        return []
    held = description.dump.lists
    threads = [
        f"{item.id:#x}" + (f' "{item.name}"' if item.name else "") + _at(item.instruction_pointer, item.location)
        for item in held.threads or ()
    ]
    modules = [
        f"{item.base:#x} {size_text(item.size)} {item.path}" + (f" {item.version}" if item.version else "")
        for item in held.modules
    ]
    unloaded = [f"{item.base:#x} {size_text(item.size)} {item.name}" for item in held.unloaded or ()]
    handles = [
        " ".join(part for part in (f"{item.value:#x}", item.type or "unknown type", item.name) if part)
        for item in held.handles or ()
    ]
    streams = [f"{item.type:#x} {item.name} {size_text(item.size)}" for item in held.streams or ()]
    title = "drivers" if held.threads is None else "modules"
    found = (
        ("threads", threads), (title, modules), ("unloaded", unloaded), ("handles", handles), ("streams", streams),
    )  # fmt: skip
    return [(name, lines) for name, lines in found if lines]


def _at(address: int | None, location: str | None) -> str:
    return "" if address is None else f" at {location or hex(address)}"


def _clock(time: str) -> str:
    return time.replace("T", " ").replace("+00:00", " UTC")


def _counted(number: int, name: str) -> str:
    return f"{number} {name.removesuffix('s') if number == 1 else name}"


def _duration(seconds: int) -> str:
    days, rest = divmod(seconds, 86_400)
    clock = f"{rest // 3600}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{_count(days, 'day')} {clock}" if days else clock


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def size_text(size: int) -> str:
    """``812 B``, ``35.4 KiB``, ``1.2 MiB``."""
    value, units = float(size), ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        del units[0]
    return f"{size} B" if units[0] == "B" else f"{value:.1f} {units[0]}"
