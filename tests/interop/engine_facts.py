"""What the engine says of a dump, beside what the truth says: one item a fact.

It asks the engine and reads the truth only; how the dump was written is not its business. A fact that the request
leaves out of the dump must be absent there, so the request decides what is due.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dumptruth.fixtures.adapters.contexts import registers
from dumptruth.fixtures.adapters.engine.asking import (
    basics,
    debugger_data,
    physical_memory,
    tagged,
    version_words,
    virtual_memory,
)
from dumptruth.fixtures.adapters.engine.process import Harness
from dumptruth.oracle import KernelTruth, ProcessTruth, RequestTruth
from dumptruth.oracle.truth.process import UnloadedModuleTruth

from .triaged_context import triaged

SECOND = 10_000_000
UNIX_EPOCH = 11_644_473_600
"""Seconds from 1601 to 1970."""
MACHINES = {"amd64": 0x8664, "x86": 0x14C, "arm64": 0xAA64}
COMMITTED, UNREADABLE = 0x1000, 0x101
"""winnt.h MEM_COMMIT, and PAGE_NOACCESS or PAGE_GUARD."""
DEFAULT = USERDUMP = 1025
"""A qualifier of requests, and that of a session with a USERDUMP file."""
# docs/format/format-flags.md: bits of a small user dump
FULL_MEMORY, HANDLES, UNLOADED, FILTER_PATHS = 0x1, 0x2, 0x4, 0x40
NO_OPTIONAL_DATA, FULL_MEMORY_INFO, FILTER_TRIAGE = 0x200, 0x400, 0x10000
FXSAVE = {"amd64": (0x100, 512), "x86": (0xCC, 512)}
"""Offset and size in the CONTEXT."""


@dataclass(frozen=True)
class Fact:
    name: str
    said: object
    due: object

    @property
    def agrees(self) -> bool:
        return self.said == self.due


def process_facts(
    harness: Harness, opened: dict[str, Any], truth: ProcessTruth, request: RequestTruth | None
) -> Iterator[Fact]:
    """The facts of an open user dump. ``request`` None: only facts that every dump has."""
    system, of = harness.must("system"), truth.system
    architecture = of.architecture
    mask = 0xFFFF_FFFF if architecture == "x86" else (1 << 64) - 1  # it extends the sign of 32-bit addresses
    yield Fact("system.machine", system["machine"], MACHINES[architecture])
    yield Fact("system.effective_machine", system["effective_machine"], MACHINES[architecture])
    yield Fact("system.is_64_bit", system["is_64_bit"], int(architecture != "x86"))
    old = system["qualifier"] == USERDUMP
    if not old:  # docs/format/user-dump.md: USERDUMP holds no system, handles or unloaded modules
        yield Fact("system.processors", system["processors"], of.number_of_processors)
        yield Fact("system.version", system["version"][1:3], [of.major_version, of.minor_version])
        yield Fact("system.build", system["build"], of.build_number)
        yield Fact("system.service_pack", system["service_pack"], of.csd_version)
        yield Fact("system.build_string", system["build_string"], of.build_string)
        yield Fact("system.time", system["time"], truth.time // SECOND - UNIX_EPOCH & 0xFFFF_FFFF)
    yield Fact("process.id", system.get("process_id"), truth.process.process_id)
    full = request is None or request.qualifier_value == DEFAULT
    flags = 0 if request is None else request.format_flags_value
    answer = harness.must("threads")["threads"]
    yield Fact("threads.ids", [thread["id"] for thread in answer], [thread.thread_id for thread in truth.threads])
    for said, thread in zip(answer, truth.threads, strict=False):
        yield Fact("thread.teb", said.get("teb"), thread.teb)
        yield Fact("thread.instruction", said["instruction"] & mask, thread.context.ip)
        yield Fact("thread.stack", said["stack"] & mask, thread.context.sp)
        due_context = thread.context
        if _triage(flags):
            due_context = triaged(truth, due_context, registers(architecture, bytes.fromhex(said.get("context", ""))))
        yield from _context("thread.context", architecture, said.get("context", ""), due_context)
        if not old and thread.name is not None:
            yield Fact("thread.name", said.get("name"), thread.name)
        yield from _basic(said, thread, mask)
    yield from _modules(harness, truth, None if old else request, mask)
    yield from _exception(system, opened["event"], truth, mask, filtered=_triage(flags))
    if request is not None and (full or flags & FULL_MEMORY_INFO):
        regions = harness.ask("regions")["regions"]
        due = [
            [r.base, r.size, r.allocation_base, r.allocation_protect, r.state, r.protect, r.type]
            for r in truth.regions
            if not old or (r.state == COMMITTED and not r.protect & UNREADABLE)  # docs/format/user-dump.md
        ]
        yield Fact("regions.count", len(regions), len(due))
        for said_region, due_region in zip(regions, due, strict=False):
            yield Fact("region", said_region, due_region)
    if request is not None and not old and (full or flags & HANDLES):
        yield from _handles(harness, truth)
    if not _triage(flags):  # it changes words of stacks; FILTER_MEMORY changes none
        for start, data in virtual_memory(harness):
            held = truth.read(start, len(data))
            yield Fact(
                "memory", f"{start:#x}", f"{start:#x}" if held is not None and bytes(held) == data else "other bytes"
            )


def _triage(flags: int) -> bool:
    """Whether FILTER_TRIAGE has an effect: docs/format/format-flags.md."""
    return bool(flags & FILTER_TRIAGE) and (not flags & FULL_MEMORY or bool(flags & NO_OPTIONAL_DATA))


def _context(name: str, architecture: str, said: str, due: Any) -> Iterator[Fact]:
    data = bytes.fromhex(said)
    yield Fact(f"{name}.registers", registers(architecture, data), due.registers)
    if architecture in FXSAVE and due.fxsave:
        start, size = FXSAVE[architecture]
        yield Fact(f"{name}.fxsave", data[start : start + size].hex(), due.fxsave.hex())
    if architecture == "x86" and due.float_save:
        yield Fact(f"{name}.float_save", data[0x1C:0x8C].hex(), due.float_save.hex())
    if architecture == "arm64" and due.v:
        yield Fact(f"{name}.v", data[0x110:0x310].hex(), due.v.hex())


def _basic(said: dict[str, Any], thread: Any, mask: int) -> Iterator[Fact]:
    """The members that the engine calls valid."""
    for name, value in basics(said, mask).items():
        due = getattr(thread, name)
        yield Fact(f"thread.{name}", value, due & 0xFFFF_FFFF if name == "priority" else due)


def _modules(harness: Harness, truth: ProcessTruth, request: RequestTruth | None, mask: int) -> Iterator[Fact]:
    answer = harness.must("modules", reload=1)
    flags = 0 if request is None else request.format_flags_value
    loaded = sorted(answer["modules"], key=lambda module: module["base"] & mask)
    due = sorted(truth.modules, key=lambda module: module.base)
    yield Fact("modules.bases", [module["base"] & mask for module in loaded], [module.base for module in due])
    for said, module in zip(loaded, due, strict=False):
        yield Fact("module.size", said["size"], module.size)
        yield Fact("module.time_date_stamp", said["time_date_stamp"], module.time_date_stamp)
        yield Fact("module.checksum", said["checksum"], module.checksum)
        yield Fact("module.name", said["image"], _kept_name(module.name, flags))
        yield Fact("module.version", version_words(said), module.version_info or ())
        record = module.code_view or b""
        if record[:4] == b"RSDS":
            yield Fact("module.pdb_guid", said.get("pdb_guid"), record[4:20].hex())
            yield Fact("module.pdb_age", said.get("pdb_age"), int.from_bytes(record[20:24], "little"))
    if request is None:
        return
    unloaded = truth.unloaded_modules if request.qualifier_value == DEFAULT or flags & UNLOADED else ()
    yield Fact(
        "unloaded",
        sorted(
            (m["base"] & mask, m["size"], m["time_date_stamp"], m["checksum"], m["image"]) for m in answer["unloaded"]
        ),
        sorted(_unloaded(module, flags) for module in unloaded),
    )


def _unloaded(module: UnloadedModuleTruth, flags: int) -> tuple[object, ...]:
    name = _kept_name(module.name, flags)
    return (module.base, module.size, module.time_date_stamp, module.checksum, name)


def _kept_name(name: str, flags: int) -> str:
    """The name after FILTER_PATHS, which FILTER_TRIAGE implies."""
    return name.replace("/", "\\").rpartition("\\")[2] if flags & FILTER_PATHS or _triage(flags) else name


def _exception(
    system: dict[str, Any], event: dict[str, Any], truth: ProcessTruth, mask: int, *, filtered: bool
) -> Iterator[Fact]:
    due = truth.exception
    if due is None:
        yield Fact("exception.thread", system.get("exception_thread"), None)
        return
    yield Fact("exception.code", event.get("code"), due.code)
    yield Fact("exception.flags", event.get("flags"), due.flags)
    yield Fact("exception.record", event.get("record", 0) & mask, due.record)
    yield Fact("exception.address", event.get("address", 0) & mask, due.address)
    information = [value & mask for value in event.get("information", ())]
    yield Fact("exception.information", information, list(due.information))
    if system["qualifier"] == 1024:  # USERDUMP stores the event of the debugger, not an exception beside it
        yield Fact("exception.thread", system.get("exception_thread"), due.thread_id)
        context = system.get("exception_context", "")
        architecture, due_context = truth.system.architecture, due.context
        if filtered:
            kept = registers(architecture, bytes.fromhex(context))
            due_context = triaged(truth, due_context, kept, exception=True)
        yield from _context("exception.context", architecture, context, due_context)


def _handles(harness: Harness, truth: ProcessTruth) -> Iterator[Fact]:
    members = ("type_name", "object_name", "attributes", "granted_access", "handle_count", "pointer_count")
    for handle in truth.handles:  # the engine ignores the low two bits of a value
        answer = harness.ask("handles", **{"from": handle.value, "below": handle.value + 1})
        found: dict[str, Any] = next(iter(answer.get("handles", ())), {})
        yield Fact(
            "handle",
            tuple(found.get(name) for name in members),
            tuple(getattr(handle, name) or ("" if name.endswith("name") else 0) for name in members),
        )
    yield Fact("handles.count", harness.ask("handles", below=0).get("count", 0), len(truth.handles))


def machine_facts(harness: Harness, truth: KernelTruth, dump_type: int, header: bytes) -> Iterator[Fact]:
    """The facts of an open kernel dump. ``header`` is the first 0x2000 bytes of the file."""
    small = dump_type == 4
    system, kernel = harness.must("system"), harness.must("kernel")
    yield Fact("system.machine", system["machine"], MACHINES[truth.system.architecture])
    yield Fact("system.effective_machine", system["effective_machine"], MACHINES[truth.system.architecture])
    yield Fact("system.processors", system["processors"], len(truth.processors))
    yield Fact("system.version", system["version"][3:], [truth.system.major_version, truth.system.build_number])
    build = system["build_string"].removeprefix("Built by: ")  # 15063 adds it
    if not (small and not build):  # one layout of a small dump has none
        yield Fact("system.build_string", build, truth.system.nt_build_lab)
    yield Fact("system.time", system["time"], truth.time // SECOND - UNIX_EPOCH & 0xFFFF_FFFF)
    yield Fact("system.up_time", system["up_time"], truth.up_time // SECOND)
    yield Fact("bug_check", system.get("bug_check"), [truth.bug_check.code, *truth.bug_check.parameters])
    yield Fact("thread", system.get("thread"), truth.crashed.current_thread)
    yield Fact("processor", system.get("processor"), truth.crashing_processor)
    yield from _debugger_data(kernel, truth)
    processors = (truth.crashed,) if small else truth.processors
    for processor in processors:
        said = kernel["processors"][processor.number]
        if not small:  # it makes up a KPCR for a small dump
            yield Fact("processor.kpcr", said.get("kpcr"), processor.kpcr)
            yield Fact("processor.kprcb", said.get("kprcb"), processor.kprcb)
        yield Fact("processor.thread", said.get("thread"), processor.current_thread)
    for said, processor in zip(harness.must("threads")["threads"], processors, strict=False):
        yield from _context("processor.context", truth.system.architecture, said.get("context", ""), processor.context)
    yield from _drivers(harness, truth, 12 if small else None)  # docs/format/kernel-small.md: names of 12 units
    yield Fact("blobs", sorted(tagged(harness)), sorted((b.tag.hex(), b.data.hex()) for b in truth.blobs))
    kept = bytearray(bytes.fromhex(harness.ask("header")["bytes"]))
    if ".15063." in harness.version:
        kept[0x1058:0x1060] = header[0x1058:0x1060]  # docs/format/engine.md#reading-of-the-kernel-header
    else:
        kept[0x131C:0x1324] = header[0x131C:0x1324]
    yield Fact("header", [f"{at:#x}" for at in range(len(header)) if kept[at : at + 1] != header[at : at + 1]], [])
    if not small:
        for start, data in physical_memory(harness):
            held = truth.page(start >> 12)
            yield Fact(
                "page", f"{start:#x}", f"{start:#x}" if held is not None and bytes(held) == data else "other bytes"
            )


def _debugger_data(kernel: dict[str, Any], truth: KernelTruth) -> Iterator[Fact]:
    """Every field of KDBG that the engine returns, with the bytes in the machine's memory."""
    record = truth.debugger_data
    if record is None:
        return
    size = record["Header.Size"]
    held = truth.read(truth.symbols.kd_debugger_data_block, size) or b""
    for offset, data in kernel["debugger_data"]:
        said = bytes.fromhex(data)
        if offset + len(said) <= size:
            yield Fact(f"kdbg.{offset:#x}", data, held[offset : offset + len(said)].hex())
    assert debugger_data(kernel)


def _drivers(harness: Harness, truth: KernelTruth, length: int | None) -> Iterator[Fact]:
    answer = harness.must("modules")
    # the engine lists the modules of the current process, too
    loaded = sorted((m for m in answer["modules"] if m["base"] >> 63), key=lambda module: module["base"])
    due = sorted(truth.drivers, key=lambda driver: driver.base)
    yield Fact("drivers.bases", [module["base"] for module in loaded], [driver.base for driver in due])
    for said, driver in zip(loaded, due, strict=False):
        yield Fact("driver.size", said["size"], driver.size)
        yield Fact("driver.time_date_stamp", said["time_date_stamp"], driver.time_date_stamp)
        yield Fact("driver.checksum", said["checksum"], driver.checksum)
    yield Fact(
        "unloaded_drivers",
        sorted((module["image"], module["base"], module["base"] + module["size"]) for module in answer["unloaded"]),
        sorted((driver.name[:length], driver.start, driver.end) for driver in truth.unloaded_drivers),
    )
