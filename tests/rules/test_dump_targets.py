"""What the oracle demands and allows of the dump of a dump, by contract (docs/format/engine.md)."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
from dumptruth.fixtures.mutants.pristine import pristine
from dumptruth.fixtures.mutants.registry import BaseDump, Pristine
from dumptruth.fixtures.mutants.surgery import Surgery
from dumptruth.oracle import ByteSource, Verdict, check

CONTRACTS = ["documented", "e15063", "e29507"]
LOST = {"TRUE-MEMORYINFO-001", "TRUE-VMCOUNTERS-001"}
RULES = ["TRUE-MEMORYINFO-*", "TRUE-VMCOUNTERS-*", "TRUE-MODULE-005", "TRUE-HANDLE-003", "TRUE-THREADINFO-002",
         "TRUE-SYSTEM-001", "MDMP-SYSTEMMEMORY-*", "MDMP-VMCOUNTERS-*"]  # fmt: skip


@cache
def base(kind: BaseDump = BaseDump.SMALL) -> Pristine:
    return pristine(kind)


def failing(data: bytes, kind: BaseDump = BaseDump.SMALL, *, contract: str, session: str) -> set[str]:
    made = base(kind)
    asked = replace(made.asked, contract=contract, session=session)
    report = check(ByteSource(data), made.truth, asked, select=RULES)
    return {item.rule for item in report.results if item.verdict is Verdict.FAIL}


def redumped() -> Surgery:
    """A dump without the data that both engines lose of a dump target: streams 21 and 22, CodeView records."""
    edit = Surgery(base())
    for path in ("SystemMemoryInfo", "ProcessVmCounters"):
        edit.poke(path, bytes(len(edit.read(path))))
    for index in range(len(base().snapshot.modules)):
        edit.put(f"ModuleList.Modules[{index}]", "CvRecord", bytes(8))
    return edit


def model_cut() -> bytes:
    """The same with the model of the processor that engine 15063 stores."""
    edit = redumped()
    return edit.put("SystemInfo", "ProcessorRevision", base().truth.system.processor_revision & 0xF0F).data


@pytest.mark.parametrize("contract", ["documented", "e29507"])
def test_a_dump_target_may_lose_what_both_engines_lose(contract: str) -> None:
    assert failing(redumped().data, contract=contract, session="dump") == set()


def test_engine_15063_also_loses_half_of_the_model_of_the_processor() -> None:
    assert failing(model_cut(), contract="e15063", session="dump") == set()
    assert failing(redumped().data, contract="e15063", session="dump") == {"TRUE-SYSTEM-001"}
    assert failing(model_cut(), contract="e29507", session="dump") == {"TRUE-SYSTEM-001"}
    assert failing(model_cut(), contract="documented", session="dump") == set()


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_live_process_loses_nothing(contract: str) -> None:
    expected = {*LOST, "TRUE-MEMORYINFO-002", "TRUE-MODULE-005", "MDMP-SYSTEMMEMORY-002", "MDMP-VMCOUNTERS-002"}
    assert failing(redumped().data, contract=contract, session="live") == expected


@pytest.mark.parametrize(("contract", "rules"), [("documented", set()), ("e15063", LOST), ("e29507", LOST)])
def test_counters_of_a_dump_target_are_invented_under_the_contract_of_an_engine(contract: str, rules: set[str]) -> None:
    found = failing(base().data, contract=contract, session="dump") - {"TRUE-SYSTEM-001"}
    assert found == rules


def test_names_of_objects_and_exit_statuses_are_lost_of_a_dump_target_and_of_no_live_one() -> None:
    edit = Surgery(base(BaseDump.DEFAULT))
    named = next(index for index, item in enumerate(base(BaseDump.DEFAULT).snapshot.handles) if item.object_name)
    edit.put(f"HandleData.Descriptors[{named}]", "ObjectNameRva", 0)
    edit.put("ThreadInfoList.Entries[0]", "ExitStatus", 0)
    lost = {"TRUE-HANDLE-003", "TRUE-THREADINFO-002"}
    counters = {*LOST, "TRUE-SYSTEM-001"}
    for session, rules in (("live", lost), ("dump", set())):
        found = failing(edit.data, BaseDump.DEFAULT, contract="documented", session=session)
        assert found - counters == rules
    whole = base(BaseDump.DEFAULT).data
    assert "TRUE-THREADINFO-002" in failing(whole, BaseDump.DEFAULT, contract="e29507", session="dump")


def test_the_type_of_a_handle_is_not_lost() -> None:
    data = Surgery(base(BaseDump.DEFAULT)).put("HandleData.Descriptors[1]", "TypeNameRva", 0).data
    assert "TRUE-HANDLE-003" in failing(data, BaseDump.DEFAULT, contract="e29507", session="dump")


def test_an_exit_status_of_a_dump_target_that_nobody_set_is_a_known_error_of_15063() -> None:
    def known(field: str, contract: str, session: str = "dump") -> set[str]:
        made = base(BaseDump.DEFAULT)
        data = Surgery(made).put("ThreadInfoList.Entries[0]", field, 0x1C000).data
        asked = replace(made.asked, contract=contract, session=session)
        report = check(ByteSource(data), made.truth, asked, select=["TRUE-THREADINFO-002"])
        findings = [item for result in report.results for item in result.findings if field in item.subject]
        assert findings
        return {item.known.id for item in findings if item.known is not None}

    assert known("ExitStatus", "e15063") == {"ENGINE-EXIT-STATUS"}
    assert known("ExitStatus", "e29507") == set()
    assert known("ExitStatus", "e15063", "live") == set()
    assert known("KernelTime", "e15063") == set()


@pytest.mark.parametrize(
    ("held", "contract", "kept", "lost"),
    [
        (0x2000, "e15063", True, False),
        (0x2000, "e29507", True, False),
        (0x1000, "e15063", True, False),
        (0x1000, "e29507", True, True),
        (0x1000, "documented", True, True),
        (0x800, "e15063", True, False),
        (0x800, "e29507", False, True),
        (0x800, "documented", True, True),
        (0, "e15063", False, True),
        (0, "documented", False, True),
    ],
)
def test_a_thread_of_a_dump_has_a_stack_if_the_source_holds_enough_of_its_teb(
    held: int, contract: str, kept: bool, lost: bool
) -> None:
    """Whether the dump may have the stack, and whether address and size may be 0, with so many bytes of the TEB."""
    made, path = base(), "ThreadList.Threads[0]"
    gone = Surgery(made).put(path, "Stack.StartOfMemoryRange", 0).put(path, "Stack.Memory.DataSize", 0).data
    (first, *others) = made.truth.threads
    region = made.truth.region_at(first.teb)
    assert region is not None
    truth = replace(made.truth, threads=(replace(first, teb=region.end - held), *others))
    object.__setattr__(truth, "contents", made.truth.contents)
    asked = replace(made.asked, contract=contract, session="dump")
    for data, sound in ((made.data, kept), (gone, lost)):
        report = check(ByteSource(data), truth, asked, select=["TRUE-THREAD-003"])
        assert (report.results[0].verdict is Verdict.PASS) == sound
