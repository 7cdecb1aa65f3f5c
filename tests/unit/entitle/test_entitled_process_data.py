"""The data of a process and of its threads that a minidump must, may and must not hold, by docs/format."""

from __future__ import annotations

from dataclasses import replace

import pytest
from dumptruth.oracle.entitlement.duty import Duty
from dumptruth.oracle.entitlement.flags import Format
from dumptruth.oracle.entitlement.user import Entitlement
from dumptruth.oracle.truth.process import ProcessTruth

from .granted import NEW, OLD, by, duties, spans
from .small_target import CODE, HEAP, SMALL, having, request, target


def with_process_data() -> ProcessTruth:
    """PEB at HEAP, the TEB at HEAP + 0x2000, process parameters at HEAP + 0x8000, a command line at HEAP + 0x9000."""
    words = {
        HEAP + 0x20: HEAP + 0x8000,
        HEAP + 0x8070: 0x0012_0010,
        HEAP + 0x8078: HEAP + 0x9000,
        HEAP + 0x8080: HEAP + 0xC000,
        HEAP + 0x2058: HEAP + 0x20000,
        HEAP + 0x2000 + 0x17C8: HEAP + 0x22000,
    }
    truth = target(words=words)
    threads = tuple(replace(each, teb=HEAP + 0x2000) for each in truth.threads)
    return having(truth, process=replace(truth.process, peb=HEAP), threads=threads)


@pytest.mark.parametrize(
    ("contract", "peb", "teb", "parameters", "fls"),
    [
        (OLD, 0x7A0, 0x2000, 0x400, 0x410),
        (NEW, 0x7D0, 0x2000, 0x448, 0x7F90),
        ("documented", 0x380, 0x2000, 0x400, 0x7F90),
    ],
)
def test_process_and_thread_data_have_the_sizes_of_the_version(
    contract: str, peb: int, teb: int, parameters: int, fls: int
) -> None:
    truth, asked = with_process_data(), by(contract, Format.PROCESS_THREAD_DATA)
    assert spans(truth, asked, "process and thread data") == [(HEAP, HEAP + peb), (HEAP + 0x2000, HEAP + 0x2000 + teb)]
    grant = Entitlement(truth, asked).grant("process parameters")
    assert grant is not None
    assert grant.duty is (Duty.MAY if contract == "documented" else Duty.MUST)
    assert grant.union == (
        (HEAP + 0x8000, HEAP + 0x8000 + parameters),
        (HEAP + 0x9000, HEAP + 0x9010),
        (HEAP + 0xC000, HEAP + 0xE000),
    )
    last = HEAP + 0x22000 + fls
    assert duties(truth, asked, HEAP + 0xFFF, HEAP + 0x20000, last - 1, last) == ["may", "may", "may", "never"]
    assert duties(truth, asked, *(HEAP + at for at in (0x1000, 0x4000, 0x8448, 0x9010, 0xE000))) == ["never"] * 5


def test_without_optional_data_only_peb_tebs_and_tls_vectors_stay() -> None:
    truth, flags = with_process_data(), Format.PROCESS_THREAD_DATA | Format.NO_OPTIONAL_DATA
    places = [HEAP + at for at in (0, 0x2000, 0x20000, 0x8000, 0x9000, 0xC000, 0x22000)]
    left = ["never"] * 4
    assert duties(truth, by(NEW, flags), *places) == ["must", "must", "may", *left]
    assert duties(truth, by(OLD, flags), *places) == ["must", "must", "may", *left]
    assert duties(truth, request(SMALL, flags), *places) == ["may", "may", "may", *left]


def test_under_filter_triage_only_peb_and_tebs_stay() -> None:
    truth, flags = with_process_data(), Format.PROCESS_THREAD_DATA | Format.FILTER_TRIAGE
    places = [HEAP + at for at in (0, 0x2000, 0x20000, 0x8000, 0x9000, 0xC000, 0x22000)]
    left = ["never"] * 5
    for contract in (OLD, NEW):
        assert duties(truth, by(contract, flags), *places) == ["must", "must", *left]


def test_process_and_thread_data_of_a_dump_are_whole_pages_of_peb_and_tebs() -> None:
    truth = with_process_data()
    for contract in (OLD, NEW, "documented"):
        asked = by(contract, Format.PROCESS_THREAD_DATA, "dump")
        assert spans(truth, asked, "process and thread data") == [(HEAP, HEAP + 0x1000), (HEAP + 0x2000, HEAP + 0x4000)]
        assert duties(truth, asked, HEAP + 0x8000, HEAP + 0x20000, HEAP + 0x20008) == ["never", "may", "never"]
    x86 = having(truth, system=replace(truth.system, architecture="x86"))
    asked = by(NEW, Format.PROCESS_THREAD_DATA, "dump")
    assert spans(x86, asked, "process and thread data") == [(HEAP, HEAP + 0x1000), (HEAP + 0x2000, HEAP + 0x3000)]


def test_an_emulated_process_gives_its_peb_and_tebs_at_any_flags() -> None:
    """ChpeV2CpuAreaInfo, at TEB + 0x1788, is set."""
    truth = target(words={HEAP + 0x2000 + 0x1788: 1})
    threads = tuple(replace(each, teb=HEAP + 0x2000) for each in truth.threads)
    truth = having(truth, process=replace(truth.process, peb=HEAP), threads=threads)
    assert duties(truth, by(NEW, session="dump"), HEAP, HEAP + 0x2000) == ["must", "must"]
    assert duties(truth, by(NEW), HEAP, HEAP + 0x2000) == ["never", "never"]
    assert duties(truth, by("documented", session="dump"), HEAP) == ["may"]


def test_static_tls_blocks_come_with_data_segments_by_dbghelp_612() -> None:
    """One image with a TLS directory: data of 0x40 bytes, index 1; the thread's vector at HEAP + 0x20000."""
    words = {
        CODE + 0x3C: 0x80, CODE + 0x80: 0x4550, CODE + 0x98: 0x20B, CODE + 0x98 + 0x6C: 10,
        CODE + 0x98 + 0x70 + 9 * 8: 0x28_0000_2200,
        CODE + 0x2200: CODE + 0x2600, CODE + 0x2208: CODE + 0x2640, CODE + 0x2210: CODE + 0x2700,
        CODE + 0x2700: 1,
        HEAP + 0x2058: HEAP + 0x20000, HEAP + 0x20008: HEAP + 0x28000,
    }  # fmt: skip
    truth = target(words=words)
    truth = having(truth, threads=tuple(replace(each, teb=HEAP + 0x2000) for each in truth.threads))
    both = Format.PROCESS_THREAD_DATA | Format.DATA_SEGMENTS
    assert duties(truth, request(SMALL, both), HEAP + 0x28000, HEAP + 0x2803F, HEAP + 0x28040) == [
        "may",
        "may",
        "never",
    ]
    assert duties(truth, by(NEW, both), HEAP + 0x28000) == ["never"]
    assert duties(truth, request(SMALL, Format.PROCESS_THREAD_DATA), HEAP + 0x28000) == ["never"]
