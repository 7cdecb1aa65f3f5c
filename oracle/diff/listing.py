"""Lists what a dump tells, independent of the layout of the file: lists of items, and the values of an item.

An item has a key from the target (a thread its id, a module its base), never its index in a list. So two dumps of one
target by different writers have the same keys. A value is compared as bytes; its text is made only if it is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from hashlib import sha256
from typing import Any, NamedTuple, Protocol

from ..budget import Budget, Work
from ..decode import Record, Structure, enumeration, structure
from ..model import Span
from ..readers.facts import ContextFact, Dump, HandleFact, StringFact
from ..readers.kernel_dump import KernelDump
from ..readers.table import Table

_SHOWN = 32
"""Longest value in bytes that is shown; a longer one is shown as its length and the first digits of its SHA-256."""
_LAST_RESERVED = 0xFFFF  # minidumpapiset.h LastReservedStream; higher types belong to the caller

Key = int | str
Values = Iterable[tuple[str, "Value"]]
"""Each value with the end of its subject: ``, context``."""


class Value(Protocol):
    """One or more named facts."""

    @property
    def names(self) -> tuple[str, ...]: ...
    def whole(self) -> bytes | str:
        """Equal if all facts are equal."""
        ...

    def raw(self, name: str) -> bytes | str:
        """What is compared."""
        ...

    def shown(self, name: str) -> str: ...


class Listed(NamedTuple):
    """A list of a dump. ``values`` gets an item, and the budget for bytes that are read for it."""

    subject: Callable[[Any], str]
    """The subject of an item with that key."""
    items: Callable[[Any], Iterable[tuple[Key, Any]]]
    values: Callable[[Any, Any, Budget], Values]
    """Of the dump, the item and the budget."""
    table: Callable[[Any], Table] | None = None
    """For a long list, whose items are the bytes of records."""
    same: Callable[[Any, Any], int] = lambda _one, _two: 0
    """The number of facts of two items that are the same at a glance; 0 if that takes more."""


def lists_of(dump: Dump | KernelDump) -> tuple[Listed, ...]:
    """The lists of a dump of that kind, in the order of the report. They hold everything except memory."""
    return _MINIDUMP if isinstance(dump, Dump) else _KERNEL


# -- values ------------------------------------------------------------------------------------------------------------


class Text(NamedTuple):
    name: str
    text: str

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,)

    def whole(self) -> str:
        return self.text

    def raw(self, name: str) -> str:  # noqa: ARG002
        return self.text

    def shown(self, name: str) -> str:  # noqa: ARG002
        return self.text


class Data(NamedTuple):
    name: str
    data: bytes

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,)

    def whole(self) -> bytes:
        return self.data

    def raw(self, name: str) -> bytes:  # noqa: ARG002
        return self.data

    def shown(self, name: str) -> str:  # noqa: ARG002
        return _bytes(self.data)


class _Layout(NamedTuple):
    names: tuple[str, ...]
    """The fields that are compared: no offsets into the file."""
    ranges: tuple[tuple[int, int], ...]
    """Their bytes in the record."""


@cache
def _layout(name: str, skip: tuple[str, ...], upto: int | None) -> _Layout:
    names, ranges = [], [(0, 0)]
    for field in sorted(structure(name).fields.values(), key=lambda field: field.offset):
        end = field.offset + field.width
        if _is_place(field.name) or (skip and field.name.startswith(skip)) or (upto and end > upto):
            continue
        names.append(field.name)
        if ranges[-1][1] == field.offset:
            ranges[-1] = (ranges[-1][0], end)
        else:
            ranges.append((field.offset, end))
    return _Layout(tuple(names), tuple(ranges))


class Fields:
    """The fields of a record, without offsets into the file."""

    __slots__ = ("_layout", "_record")

    def __init__(self, record: Record, skip: tuple[str, ...] = (), upto: int | None = None) -> None:
        """``skip``: beginnings of names. ``upto``: only fields within that many bytes."""
        self._record = record
        self._layout = _layout(record.structure.name, skip, upto)

    @property
    def names(self) -> tuple[str, ...]:
        return self._layout.names

    def whole(self) -> bytes:
        data = self._record.data()
        return b"".join([data[start:end] for start, end in self._layout.ranges])

    def raw(self, name: str) -> bytes | str:
        kind = self._record.structure.fields[name].kind
        return self._record.text(name) if kind == "utf16" else self._record.raw(name)

    def shown(self, name: str) -> str:
        return _value(self._record.structure, self._record, name)


def names_in(table: Table) -> tuple[str, ...]:
    """The names of the facts of a record."""
    return _layout(table.entry, (), None).names


def _is_place(name: str) -> bool:
    """Whether the field is an RVA, a file offset, the size of the data there, or padding."""
    last = name.rpartition(".")[2]
    return last.startswith(("_", "Rva")) or last.endswith(("Rva", "Offset")) or name.endswith(".DataSize")


def _value(table: Structure, record: Record, name: str) -> str:
    field = table.fields[name]
    if field.kind == "utf16":
        return record.text(name)
    if field.kind == "bytes" or field.count > 1:
        return _bytes(record.raw(name))
    return f"{record[name]:#x}" if field.kind != "i32" else str(record[name])


def _bytes(data: bytes) -> str:
    if len(data) <= _SHOWN:
        return data.hex()
    return f"{len(data)} bytes, SHA-256 {sha256(data).hexdigest()[:16]}"


def _data(dump: Dump | KernelDump, name: str, span: Span | None, subject: str, budget: Budget) -> Iterator[Data]:
    """The bytes of ``span`` as a value. Several spans may share bytes, so the budget limits them."""
    if span is not None and budget.grant(Work.BYTES, len(span), subject) == len(span):
        yield Data(name, dump.source.read(span.start, len(span)))


def _alone(parts: Iterable[tuple[str, Value | None]]) -> Iterator[tuple[Key, Any]]:
    """Values that are in no list, each with its subject."""
    return ((f"{part[0]} {part[1].names[0]}", part) for part in parts if part[1] is not None)


def _fields(record: Record | None, skip: tuple[str, ...] = (), upto: int | None = None) -> Fields | None:
    return None if record is None else Fields(record, skip, upto)


def _context(subject: str, context: ContextFact | None) -> Iterator[tuple[str, Value]]:
    if context is not None:
        yield f"{subject}, context", Fields(context.record)


def _text(name: str, fact: StringFact | None) -> Iterator[tuple[str, Value]]:
    if fact is not None:
        yield "", Text(name, fact.text)


# -- minidumps ---------------------------------------------------------------------------------------------------------


def _minidump_alone(dump: Dump) -> Iterator[tuple[str, Value | None]]:
    misc = dump.misc_info
    yield "header", _fields(dump.header, ("NumberOfStreams", "StreamDirectoryRva"))
    yield "system", _fields(dump.system_info)
    yield "system", None if dump.csd_version is None else Text("CSDVersion", dump.csd_version.text)
    yield "misc info", None if misc is None else Fields(misc, (), misc["SizeOfInfo"])
    yield "system memory", _fields(dump.system_memory_info)
    yield "process counters", _fields(dump.vm_counters)
    if dump.exception is not None:
        yield "exception", Fields(dump.exception.record)
        yield from _context("exception", dump.exception.context)
    if (comment := dump.comment) is not None:
        yield "comment", Text("text", "does not decode" if comment.text is None else comment.text)


def _streams(dump: Dump) -> Iterator[tuple[Key, Any]]:
    for kind in sorted(dump.streams):
        yield kind, dump.streams[kind]


def _stream_values(dump: Dump, stream: Any, budget: Budget) -> Values:
    yield "", Text(enumeration("MINIDUMP_STREAM_TYPE").name_of(stream.type), "present")
    if stream.type > _LAST_RESERVED:
        for data in _data(dump, f"{stream.name}, bytes", stream.span, "streams of applications", budget):
            yield "", data


def _thread_values(dump: Dump, thread: Any, budget: Budget) -> Values:  # noqa: ARG001
    yield "", Fields(thread.record)
    yield from _context("", thread.context)


def _module_values(dump: Dump, module: Any, budget: Budget) -> Values:
    yield "", Fields(module.record)
    yield from _text("name", module.name)
    for data in _data(dump, "CodeView", module.code_view, "CodeView records", budget):
        yield "", data


def _named_values(dump: Dump, item: Any, budget: Budget) -> Values:  # noqa: ARG001
    yield "", Fields(item.record)
    yield from _text("name", item.name)


def _handle_values(dump: Dump, handle: Any, budget: Budget) -> Values:  # noqa: ARG001
    yield "", Fields(handle.record)
    yield from _text("type", handle.type_name)
    yield from _text("object", handle.object_name)


def _same_handle(one: HandleFact, two: HandleFact) -> int:
    """Most handles are the same in two dumps of a target, and there may be a hundred thousand."""
    if one.descriptors.data(one.position) != two.descriptors.data(two.position):
        return 0
    facts = len(names_in(one.descriptors))
    for mine, theirs in ((one.type_name, two.type_name), (one.object_name, two.object_name)):
        if (mine is None) != (theirs is None):
            return 0
        if mine is not None and theirs is not None:
            if mine.text != theirs.text:
                return 0
            facts += 1
    return facts if one.descriptors.entry == two.descriptors.entry else 0


def _table_values(dump: Dump, table: Any, budget: Budget) -> Values:
    yield "", Fields(table.record)
    for data in _data(dump, "entries", table.entries, "entries of function tables", budget):
        yield "", data


def _plain_values(dump: Any, record: Record, budget: Budget) -> Values:  # noqa: ARG001
    return (("", Fields(record)),)


def _rows(subject: str, suffix: str, key: str, table: Callable[[Any], Table]) -> Listed:
    """A long list. ``key``: the field that identifies a record."""

    def items(dump: Any) -> Iterator[tuple[Key, bytes]]:
        found = table(dump)
        return zip(found.column(key) if len(found) else (), found.raw(), strict=True)

    def values(dump: Any, data: bytes, budget: Budget) -> Values:  # noqa: ARG001
        made = structure(table(dump).entry)
        return ((suffix, Fields(Record(made, "", 0, data[: made.size]))),)

    return Listed(subject.format, items, values, table)


def _part(dump: Any, part: tuple[str, Value], budget: Budget) -> Values:  # noqa: ARG001
    return (part,)


_MINIDUMP = (
    Listed(lambda _: "", lambda dump: _alone(_minidump_alone(dump)), _part),
    Listed(lambda _: "streams", _streams, _stream_values),
    Listed("thread {:#x}".format, lambda dump: ((item.id, item) for item in dump.threads), _thread_values),
    _rows("thread {:#x}", ", info", "ThreadId", lambda dump: dump.thread_infos),
    Listed(
        "thread {:#x}".format,
        lambda dump: ((item.record["ThreadId"], item) for item in dump.thread_names),
        lambda _, item, __: _text("name", item.name),
    ),
    Listed("module {:#x}".format, lambda dump: ((item.base, item) for item in dump.modules), _module_values),
    Listed("unloaded module {}".format, lambda dump: enumerate(dump.unloaded_modules), _named_values),
    Listed(
        "handle {:#x}".format,
        lambda dump: ((item.value, item) for item in dump.handles),
        _handle_values,
        same=_same_handle,
    ),
    _rows("region {:#x}", "", "BaseAddress", lambda dump: dump.memory_infos),
    Listed(
        "function table {:#x}".format,
        lambda dump: ((item.record["MinimumAddress"], item) for item in dump.function_tables),
        _table_values,
    ),
    Listed("token {:#x}".format, lambda dump: ((token["TokenId"], token) for token in dump.tokens), _plain_values),
)


# -- kernel dumps ------------------------------------------------------------------------------------------------------


def _kernel_alone(dump: KernelDump) -> Iterator[tuple[str, Value | None]]:
    yield "header", _fields(dump.header, ("RequiredDumpSpace", "ContextRecord", "PhysicalMemoryBlock"))
    yield "context", _fields(dump.context)
    yield "exception", _fields(dump.exception)
    yield "debugger data", _fields(dump.debugger_data)
    if dump.triage is not None:
        yield "triage header", _fields(dump.triage.header, ("SizeOfDump",))
        yield "memory figures", _fields(dump.triage.mm)


def _blocks(dump: KernelDump) -> Iterator[tuple[Key, Span]]:
    blocks = {} if dump.triage is None else dump.triage.blocks
    return ((name, blocks[name]) for name in ("prcb", "process", "thread") if name in blocks)


def _block_values(dump: KernelDump, span: Span, budget: Budget) -> Values:
    assert dump.triage is not None
    name = next(name for name, block in dump.triage.blocks.items() if block is span)
    return (("", data) for data in _data(dump, name, span, "triage blocks", budget))


def _unloaded_drivers(dump: KernelDump) -> Iterator[tuple[Key, Record]]:
    return ((record.text("DriverName"), record) for record in (() if dump.triage is None else dump.triage.unloaded))


def _driver_values(dump: KernelDump, module: Any, budget: Budget) -> Values:
    yield "", Fields(module.record)
    if dump.triage is None:
        return
    text = dump.triage.strings.get(module.record["DriverNameOffset"])
    # Thousands of drivers may share a name.
    if text is not None and budget.grant(Work.BYTES, 2 * text.length, "names of drivers") == 2 * text.length:
        yield "", Text("name", text.text)


_KERNEL = (
    Listed(lambda _: "", lambda dump: _alone(_kernel_alone(dump)), _part),
    Listed(lambda _: "triage blocks", _blocks, _block_values),
    Listed("unloaded driver {}".format, _unloaded_drivers, _plain_values),
    Listed("driver {:#x}".format, lambda dump: ((item.base, item) for item in dump.modules), _driver_values),
    Listed(
        "secondary data {}".format,
        lambda dump: ((blob.record.raw("Tag").hex(), blob) for blob in dump.blobs),
        lambda dump, blob, budget: (("", data) for data in _data(dump, "bytes", blob.data, "secondary data", budget)),
    ),
)
