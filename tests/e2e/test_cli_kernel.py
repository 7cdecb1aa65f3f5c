"""The commands on kernel targets: dumps of every kind and profile, from the truth of one machine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dumptruth.emu.images.kernel.build import FOLDER as IMAGES
from dumptruth.emu.synthetic.kernel import synthetic_machine
from dumptruth.emu.truth import store

TYPES = {
    "portable": {"small": 4, "default": 6, "full": 1, "active": 6},
    "classic": {"small": 4, "default": 2, "full": 1, "active": 6},
    "bitmap": {"small": 4, "default": 6, "full": 5, "active": 6},
    "ranges": {"small": 4, "default": 8, "full": 10, "active": 9},
    "header": {"small": 3, "default": 3, "full": 3, "active": 3},
}
"""DumpType by profile and qualifier (docs/format/kernel-kinds.md#type-for-each-kind)."""
KINDS = [(profile, qualifier) for profile, types in TYPES.items() for qualifier in types]

# Compiling C needs the extra `images`.
ZIGLANG = "ziglang"
DRIVER = """
#include <ntddk.h>
NTSTATUS DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path) {
    (void)driver; (void)path;
    DbgPrint("from the driver\\n");
    CRASH
    return STATUS_SUCCESS;
}
"""


@pytest.fixture(scope="module")
def held(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The truth of a machine, without a request."""
    folder = tmp_path_factory.mktemp("held") / "machine"
    store.save(synthetic_machine(), folder, source="synthetic")
    return folder


@pytest.mark.parametrize(("profile", "qualifier"), KINDS)
def test_every_kind_is_written_named_and_judged(dumptruth: Any, held: Path, profile: str, qualifier: str) -> None:
    made = dumptruth("dump", held, "-q", qualifier, "--profile", profile, "-o", "a.dmp", "--truth", "t", "--json")
    assert made.status == 0
    assert made.json()["dump_type"] == TYPES[profile][qualifier]
    assert made.json()["size"] == Path("a.dmp").stat().st_size
    identity = dumptruth("identify", "a.dmp", "--json")
    assert identity.status == 0
    assert identity.json()["kind"] == "kernel-dump"
    assert identity.json()["dump"]["form"].startswith(f"type {TYPES[profile][qualifier]}, ")
    checked = dumptruth("check", "a.dmp", "--truth", "t")
    assert checked.status == 0, checked.out
    assert f"profile {profile}" in checked.out
    assert ", 0 unclaimed" in checked.out
    foreign = dumptruth("check", "a.dmp")
    assert foreign.status == 0, foreign.out
    assert "no truth given: only structural rules ran" in foreign.out


def test_the_default_profile_is_portable_and_the_request_is_recorded(dumptruth: Any, held: Path) -> None:
    assert dumptruth("dump", held, "-q", "full", "--comment", "one", "-o", "a.dmp", "--truth", "t").status == 0
    request = json.loads(Path("t/request.json").read_text(encoding="utf-8"))
    assert (request["profile"], request["qualifier"], request["comment"]) == ("portable", "DEBUG_DUMP_FULL", "one")
    assert dumptruth("check", "a.dmp", "--truth", held, "-q", "full", "--comment", "one").status == 0
    assert dumptruth("check", "a.dmp", "--truth", "t", "--profile", "bitmap").status == 1
    assert dumptruth("check", "a.dmp", "--truth", "t", "-q", "small").status == 1


def test_the_plan_says_how_much_and_why(dumptruth: Any, held: Path) -> None:
    full = dumptruth("dump", held, "-q", "full", "-o", "a.dmp").out
    assert "type 1 (FULL), 1423 pages in 3 runs" in full
    assert "RAM" in full
    small = dumptruth("dump", held, "-q", "small", "-o", "a.dmp").out
    assert "type 4 (TRIAGE), layout B" in small
    assert "KPRCB of the crashing processor" in small
    assert "only the header" in dumptruth("dump", held, "--profile", "header", "-o", "a.dmp").out
    planned = dumptruth("dump", held, "-q", "default", "-o", "a.dmp", "--json").json()
    assert sum(int(run["page_count"], 16) for run in planned["pages"]) == planned["page_count"]
    assert all(run["reasons"] for run in planned["pages"])


def test_run_shows_bug_check_processors_drivers_and_processes(dumptruth: Any, held: Path) -> None:
    done = dumptruth("run", held)
    assert done.status == 0
    head = "synthetic: bug check 0xD1 (0x10, 0x2, 0x0, 0xfffff80000201234) at fffff800`00201234 (ntoskrnl.exe+0x1234)"
    assert done.out.splitlines()[0] == head
    for text in ("0 *  ", "driver1.sys", "gone.sys (unloaded)", "program0.exe", "5.6 MiB of RAM in 3 runs"):
        assert text in done.out
    document = dumptruth("run", held, "--json").json()
    assert document["bug_check"] == {"code": 0xD1, "parameters": ["0x10", "0x2", "0x0", "0xfffff80000201234"]}
    assert len(document["processors"]) == 2
    assert [process["image"] for process in document["processes"]] == ["System", "program0.exe", "program1.exe"]


def test_a_changed_byte_of_a_page_is_found(dumptruth: Any, held: Path) -> None:
    assert dumptruth("dump", held, "-q", "default", "-o", "a.dmp", "--truth", "t").status == 0
    data = bytearray(Path("a.dmp").read_bytes())
    data[-1] ^= 1
    Path("a.dmp").write_bytes(data)
    report = dumptruth("check", "a.dmp", "--truth", "t", "--json", "-")
    assert report.status == 1
    failed = {item["rule"] for item in report.json()["rules"] if item["verdict"] == "FAIL"}
    assert failed
    assert all(rule.startswith("K") for rule in failed), failed


def test_user_format_flags_are_refused(dumptruth: Any, held: Path) -> None:
    for flag in ("full-memory", "handle-data"):
        done = dumptruth("dump", held, "-f", flag, "-o", "a.dmp", "--truth", "t")
        assert done.status == 1
        assert "E_INVALIDARG" in done.err
        assert done.err.count("\n") == 1
    assert not Path("a.dmp").exists()
    assert not Path("t").exists()


def test_a_profile_of_the_other_mode_is_refused_in_one_line(dumptruth: Any, held: Path) -> None:
    done = dumptruth("dump", held, "--profile", "modern", "-o", "a.dmp")
    assert (done.status, done.out) == (2, "")
    assert done.err == (
        "dumptruth: profile 'modern' is not for a kernel-mode target; expected portable, classic, bitmap, ranges, "
        "header\n"
    )
    done = dumptruth("dump", "null-read", "--profile", "bitmap", "-o", "a.dmp")
    assert (done.status, done.out) == (2, "")
    assert "is not for a user-mode target; expected modern, legacy, refuse" in done.err


def test_a_dump_is_not_judged_against_a_truth_of_the_other_mode(dumptruth: Any, held: Path) -> None:
    assert dumptruth("dump", "null-read", "-o", "user.dmp", "--truth", "user").status == 0
    assert dumptruth("dump", held, "-o", "kernel.dmp").status == 0
    done = dumptruth("check", "user.dmp", "--truth", held, "-q", "small")
    assert done.status == 3
    assert "the truth describes a whole machine" in done.out
    done = dumptruth("check", "kernel.dmp", "--truth", "user")
    assert done.status == 3
    assert "the truth describes a process" in done.out


def test_a_machine_that_fits_no_header_is_refused(dumptruth: Any) -> None:
    machine = synthetic_machine()
    far = [(0x200000 + 2 * index, 1) for index in range(43 - len(machine.physical_runs))]
    store.save(replace(machine, physical_runs=(*machine.physical_runs, *far)), Path("m"), source="scattered")
    done = dumptruth("dump", "m", "-q", "full", "-o", "a.dmp")
    assert done.status == 1
    assert "43 runs of RAM: type 1 can hold 42" in done.err
    assert dumptruth("dump", "m", "-q", "full", "--profile", "ranges", "-o", "a.dmp").status == 0


def test_scenarios_show_the_bug_check_and_its_parameters(dumptruth: Any) -> None:
    assert any(
        line.split()[:4] == ["bugcheck-d1", "bug", "check", "0xD1"] for line in dumptruth("scenarios").out.splitlines()
    )
    listed = {item["name"]: item for item in dumptruth("scenarios", "--json").json()}
    assert listed["bugcheck-d1"]["mode"] == "kernel"
    assert listed["bugcheck-d1"]["expected"] == {
        "bug_check": 0xD1, "parameters": ["0x28", "0x2", "0x0", "crashdrv.sys!CrashReadSite"],
    }  # fmt: skip
    assert listed["bugcheck-7e"]["expected"]["parameters"][3] == "the CONTEXT of the exception"


@pytest.mark.parametrize("name", ["bugcheck-d1", "second-processor", "user-crash"])
def test_a_scenario_is_run_dumped_and_judged(dumptruth: Any, name: str) -> None:
    document = dumptruth("run", name, "--truth", "t", "--json").json()
    assert document["source"] == name
    assert document["truth"] == "t"
    for qualifier in ("small", "default", "full", "active"):
        assert dumptruth("dump", "t", "-q", qualifier, "-o", "a.dmp").status == 0
        done = dumptruth("check", "a.dmp", "--truth", "t", "-q", qualifier)
        assert done.status == 0, done.out


def test_the_user_sets_ram_build_and_processors(dumptruth: Any) -> None:
    document = dumptruth("run", "bugcheck-d1", "--ram", "6G", "--build", 9600, "--processors", 3, "--json").json()
    assert document["build"] == 9600
    assert len(document["processors"]) == 3
    assert sum(int(run["page_count"], 16) for run in document["physical_runs"]) == 6 << 18
    done = dumptruth("dump", "bugcheck-d1", "--build", 9600, "-o", "a.dmp", "--truth", "t", "--json")
    assert done.json()["layout"] == "A"
    assert dumptruth("check", "a.dmp", "--truth", "t").status == 0


def test_the_user_sets_how_much_ram_is_filled(dumptruth: Any) -> None:
    assert dumptruth("run", "bugcheck-d1", "--ram", "64M", "--truth", "little").status == 0
    assert dumptruth("run", "bugcheck-d1", "--ram", "64M", "--touched", "40M", "--truth", "much").status == 0
    little, much = (Path(name, "memory.bin").stat().st_size for name in ("little", "much"))
    assert little < 2 << 20
    assert 40 << 20 < much < 44 << 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bugcheck-d1", "--ram", "16X"), "16X"),
        (("bugcheck-d1", "--ram", "16M", "--touched", "17M"), "0x1100000 bytes to touch: expected 0 to 0x1000000"),
        (("bugcheck-d1", "--ram", "16M", "--touched", "16M"), "16384 KiB of RAM are too small for this machine"),
        (("null-read", "--touched", "16M"), "only a kernel-mode scenario or driver takes --touched"),
        (("bugcheck-d1", "--ram", "4K"), "0x1000 bytes"),
        (("bugcheck-d1", "--build", 7601), "build 7601: expected one of 9600, 19041, 26100"),
        (("bugcheck-d1", "--processors", 0), "0 processors: expected 1 to 32"),
        (("second-processor", "--processors", 1), "expected more than 1"),
        (("null-read", "--ram", "16M", "--build", 9600), "only a kernel-mode scenario or driver takes --ram, --build"),
        (("null-read", "--mode", "kernel"), "null-read: expected --mode user, found --mode kernel"),
        (("bugcheck-d1", "--mode", "user"), "bugcheck-d1: expected --mode kernel, found --mode user"),
        (("bugcheck-d1", "--mode", "hyper"), "unknown mode 'hyper'; expected user or kernel"),
        (("bugcheck-d1", "--arg", "x"), "only a program takes arguments"),
        (("bugchek-d1",), "did you mean bugcheck-d1?"),
    ],
)
def test_impossible_machine_options_are_refused_in_one_line(dumptruth: Any, arguments: Any, message: str) -> None:
    done = dumptruth("run", *arguments)
    assert (done.status, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert message in done.err
    assert list(Path().iterdir()) == []


def test_a_loaded_truth_takes_no_machine_options(dumptruth: Any, held: Path) -> None:
    done = dumptruth("run", held, "--ram", "8G")
    assert done.status == 2
    assert "only a kernel-mode scenario or driver takes --ram" in done.err


def test_a_driver_that_crashes_nothing_is_an_error(dumptruth: Any) -> None:
    done = dumptruth("run", IMAGES / "crashdrv.sys")
    assert done.status == 1
    assert "did not crash: nothing to dump" in done.err
    done = dumptruth("run", IMAGES / "crashdrv.sys", "--mode", "user")
    assert done.status == 2
    assert "expected --mode kernel" in done.err


def test_a_c_driver_is_compiled_run_and_its_dumps_conform(dumptruth: Any) -> None:
    pytest.importorskip(ZIGLANG, reason="compiling C needs the extra 'images'")
    Path("own.c").write_text(DRIVER.replace("CRASH", "KeBugCheckEx(0xE2, 1, 2, 3, 4);"), encoding="utf-8")
    Path("quiet.c").write_text(DRIVER.replace("CRASH", ""), encoding="utf-8")
    Path("no.c").write_text("int other(void) { return 0; }\n", encoding="utf-8")
    done = dumptruth("run", "own.c", "--mode", "kernel", "--truth", "t", "--json")
    assert done.status == 0, done.err
    assert done.json()["bug_check"] == {"code": 0xE2, "parameters": ["0x1", "0x2", "0x3", "0x4"]}
    assert "own.sys" in [driver["name"] for driver in done.json()["drivers"]]
    for qualifier in ("small", "full"):
        assert dumptruth("dump", "t", "-q", qualifier, "-o", "own.dmp").status == 0
        assert dumptruth("check", "own.dmp", "--truth", "t", "-q", qualifier).status == 0
    done = dumptruth("run", "quiet.c", "--mode", "kernel")
    assert done.status == 1
    assert "debug> from the driver" in done.out
    done = dumptruth("run", "no.c", "--mode", "kernel")
    assert done.status == 2
    assert "no.c does not define DriverEntry" in done.err
