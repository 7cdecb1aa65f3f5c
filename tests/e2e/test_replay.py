"""Replay loads the state of a dump into a new machine, which raises the exception of the dump."""

import struct

import pytest
from dumptruth.emu.images.services import services
from dumptruth.fixtures.replay.process import ReplayError, ReplayOutcome, ReplayRegion, call_length, replay

CODE = 0x1_4000_1000
DATA = 0x20_0000
STACK = 0x30_0000  # two pages; one guard page below
TEB = 0x7F_F000
PAGE = 0x1000
FXSAVE = struct.pack("<HH20xII", 0x27F, 0, 0x1F80, 0xFFFF).ljust(512, b"\0")

ACCESS_VIOLATION, GUARD_PAGE, STACK_OVERFLOW = 0xC0000005, 0x80000001, 0xC00000FD
RAISE = next(service.number for service in services() if service.name == "NtRaiseException")


def state(code: str, **registers: int) -> tuple[list[ReplayRegion], dict[str, int]]:
    """Memory of a small process whose code page begins with `code` (hex), and a context at its first byte."""
    teb = bytearray(2 * PAGE)
    struct.pack_into("<QQ", teb, 0x08, STACK + 2 * PAGE, STACK)
    struct.pack_into("<Q", teb, 0x1478, STACK - 16 * PAGE)
    memory = [
        ReplayRegion(CODE, PAGE, 0x20, bytes.fromhex(code).ljust(PAGE, b"\xcc")),
        ReplayRegion(DATA, 3 * PAGE, 0x04, bytes(3 * PAGE)),
        ReplayRegion(DATA + 3 * PAGE, PAGE, 0x02, bytes(PAGE)),
        ReplayRegion(DATA + 4 * PAGE, PAGE, 0x104, bytes(PAGE)),
        ReplayRegion(DATA + 5 * PAGE, PAGE, 0x01, None),
        ReplayRegion(STACK, 2 * PAGE, 0x04, bytes(2 * PAGE)),
        ReplayRegion(TEB, 2 * PAGE, 0x04, bytes(teb)),
    ]
    return memory, {"Rip": CODE, "Rsp": STACK + 2 * PAGE - 0x100, "EFlags": 0x10246, **registers}


def held(region: ReplayRegion) -> bytes:
    assert region.data is not None
    return region.data[:]


def run(code: str, *, one_shot_page: int | None = None, **registers: int) -> ReplayOutcome:
    memory, context = state(code, **registers)
    return replay(memory, context, FXSAVE, TEB, one_shot_page=one_shot_page)


@pytest.mark.parametrize(
    ("code", "registers", "outcome"),
    [
        pytest.param("8b00", {}, (ACCESS_VIOLATION, CODE, (0, 0)), id="null read"),
        pytest.param("c60001", {}, (ACCESS_VIOLATION, CODE, (1, 0)), id="null write"),
        pytest.param("8900", {"Rax": DATA + 0x3010}, (ACCESS_VIOLATION, CODE, (1, DATA + 0x3010)), id="read-only"),
        pytest.param("8b00", {"Rax": DATA + 0x5010}, (ACCESS_VIOLATION, CODE, (0, DATA + 0x5010)), id="no access"),
        pytest.param("cc", {"Rip": DATA + 8}, (ACCESS_VIOLATION, DATA + 8, (8, DATA + 8)), id="execute of data"),
        pytest.param("cc", {"Rip": 0}, (ACCESS_VIOLATION, 0, (8, 0)), id="null call"),
        pytest.param("8b00", {"Rax": 1 << 63}, (ACCESS_VIOLATION, CODE, (0, (1 << 64) - 1)), id="non-canonical"),
        pytest.param("f7f1", {}, (0xC0000094, CODE, ()), id="divide by zero"),
        pytest.param("f7f9", {"Rcx": 1, "Rdx": 5}, (0xC0000095, CODE, ()), id="division overflow"),
        pytest.param("0f0b", {}, (0xC000001D, CODE, ()), id="illegal instruction"),
        pytest.param("f4", {}, (0xC0000096, CODE, ()), id="privileged instruction"),
        pytest.param("cc", {}, (0x80000003, CODE, (0,)), id="breakpoint"),
        pytest.param("cd29", {"Rcx": 7}, (0xC0000409, CODE, (7,)), id="fast fail"),
        pytest.param("f3aa", {"Rdi": DATA + 0x3000, "Rcx": 9}, (ACCESS_VIOLATION, CODE, (1, DATA + 0x3000)), id="rep"),
    ],
)
def test_a_fault_is_met_again(code: str, registers: dict[str, int], outcome: tuple[int, int, tuple[int, ...]]) -> None:
    assert run(code, **registers) == ReplayOutcome(*outcome)


def test_the_registers_of_the_dump_decide() -> None:
    for rcx, code in ((0, 0xC0000094), (1, 0xC0000095)):
        assert run("48f7f1", Rcx=rcx, Rdx=7).code == code


def test_the_x87_state_of_the_dump_decides() -> None:
    """FWAIT raises a pending, unmasked division by zero of the image. Without the pending fault it raises nothing."""
    memory, context = state("9b")
    pending = struct.pack("<HH", 0x27B, 0x8084) + FXSAVE[4:]
    assert replay(memory, context, pending, TEB) == ReplayOutcome(0xC000008E, CODE, (0,))
    with pytest.raises(ReplayError, match="no call instruction"):
        replay(memory, context, FXSAVE, TEB)


def test_a_guard_page_violation_replays_only_with_its_page_guarded_again() -> None:
    page = DATA + PAGE
    assert run("8900", Rax=page + 0x18, one_shot_page=page) == ReplayOutcome(GUARD_PAGE, CODE, (1, page + 0x18))
    with pytest.raises(ReplayError, match="no exception"):
        run("8900", Rax=page + 0x18)


def test_the_guard_page_of_the_threads_own_stack_is_a_stack_overflow() -> None:
    outcome = run("50", Rsp=STACK + PAGE, one_shot_page=STACK + 8)
    assert outcome == ReplayOutcome(STACK_OVERFLOW, CODE, (1, STACK + PAGE - 8))


def test_a_fault_elsewhere_stays_an_access_violation_beside_a_guarded_page() -> None:
    assert run("8b00", one_shot_page=DATA).code == ACCESS_VIOLATION


def test_only_the_guarded_page_is_inaccessible() -> None:
    page = DATA + PAGE
    for address in (page - 4, page + PAGE):
        with pytest.raises(ReplayError, match="no exception"):
            run("8900", Rax=address, one_shot_page=page)


class Zeros:
    """Memory of any size that records which parts are read."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.read: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, key: slice, /) -> bytes:
        self.read.append((key.start, key.stop))
        return bytes(key.stop - key.start)


def test_only_the_pages_that_an_instruction_goes_to_are_read() -> None:
    zeros, base = Zeros(1 << 40), 0x100_0000_0000
    source = base + (5 << 30) - 4
    memory, context = state(
        "48a5", Rsi=source, Rdi=DATA + 3 * PAGE
    )  # movsq across a page boundary, to read-only memory
    memory.append(ReplayRegion(base, 1 << 40, 0x04, zeros))
    assert replay(memory, context, FXSAVE, TEB) == ReplayOutcome(ACCESS_VIOLATION, CODE, (1, DATA + 3 * PAGE))
    assert sorted(zeros.read) == [((5 << 30) - PAGE, 5 << 30), (5 << 30, (5 << 30) + PAGE)]


def test_more_pages_than_the_machine_holds_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dumptruth.fixtures.replay.process._RAM", 8 * PAGE)
    with pytest.raises(ReplayError, match=r"memory at 0x\w+: more pages are in use than 0x8000 bytes of RAM hold"):
        run("48a5", Rsi=DATA, Rdi=DATA + 3 * PAGE)


# --- raised by software ----------------------------------------------------------------------------------------------

RECORD = DATA + 0x100
PARAMETERS = (0x1122, 0x3344, 0x5566_7788_99AA_BBCC)


def raised(call: str, *, service: int = RAISE, body: str = "") -> tuple[list[ReplayRegion], dict[str, int]]:
    """A caller whose `call` (hex) goes to CODE + 0x100, which stores the address in the record and calls the kernel.

    As in ntdll: the routine gets the record in RCX and writes its return address into it.
    """
    routine = f"{body} 488b0424 48894110 4989ca b8{struct.pack('<I', service).hex()} 0f05 0f0b"
    call_bytes, routine_bytes = bytes.fromhex(call), bytes.fromhex(routine)
    # The code after the call would raise another fault or change the record if it ran first.
    code = call_bytes + bytes.fromhex("c70100000000 0f0b")
    code = code.ljust(0x100, b"\xcc") + routine_bytes
    memory, context = state(code.hex(), Rcx=RECORD, Rip=CODE + len(call_bytes))
    record = struct.pack("<IIQQI4x", 0xE0001234, 1, 0, 0, 3) + struct.pack("<3Q", *PARAMETERS)
    data = bytearray(3 * PAGE)
    data[0x100 : 0x100 + len(record)] = record
    data[0x200:0x208] = struct.pack("<Q", CODE + 0x100)
    memory[1] = ReplayRegion(DATA, 3 * PAGE, 0x04, bytes(data))
    return memory, context


DIRECT = "e8" + struct.pack("<i", 0x100 - 5).hex()


def test_a_raised_exception_is_met_again_by_a_direct_call() -> None:
    memory, context = raised(DIRECT)
    assert replay(memory, context, FXSAVE, TEB) == ReplayOutcome(0xE0001234, CODE + 5, PARAMETERS)


def test_a_raised_exception_is_met_again_by_an_indirect_call() -> None:
    memory, context = raised("ff15" + struct.pack("<i", 0x80).hex())  # the pointer at CODE + 6 + 0x80
    code = bytearray(held(memory[0]))
    struct.pack_into("<Q", code, 0x86, CODE + 0x100)
    memory[0] = ReplayRegion(CODE, PAGE, 0x20, bytes(code))
    assert replay(memory, context, FXSAVE, TEB) == ReplayOutcome(0xE0001234, CODE + 6, PARAMETERS)


def test_a_software_exception_may_carry_the_code_of_a_fault() -> None:
    memory, context = raised(DIRECT)
    data = bytearray(held(memory[1]))
    struct.pack_into("<I", data, 0x100, ACCESS_VIOLATION)
    memory[1] = ReplayRegion(DATA, 3 * PAGE, 0x04, bytes(data))
    assert replay(memory, context, FXSAVE, TEB) == ReplayOutcome(ACCESS_VIOLATION, CODE + 5, PARAMETERS)


def test_a_wrong_system_call_is_named() -> None:
    memory, context = raised(DIRECT, service=0xFFF)
    with pytest.raises(ReplayError, match="made system call 0xfff, expected NtRaiseException"):
        replay(memory, context, FXSAVE, TEB)


def test_a_call_that_never_raises_ends() -> None:
    memory, context = raised(DIRECT, body="ebfe")
    with pytest.raises(ReplayError, match="has not raised anything"):
        replay(memory, context, FXSAVE, TEB)


def test_a_call_that_faults_instead_is_reported() -> None:
    memory, context = raised(DIRECT, body="0f0b")
    with pytest.raises(ReplayError, match=r"ended with Fault\(vector=6"):
        replay(memory, context, FXSAVE, TEB)


# --- states that cannot be replayed ----------------------------------------------------------------------------------


def test_code_without_a_fault_or_a_call_before_it_raises_nothing() -> None:
    with pytest.raises(ReplayError, match=f"no exception at {CODE:#x}, and no call instruction ends there"):
        run("90")


@pytest.mark.parametrize("after", [0, 3, 1 << 47, (1 << 64) - 1])
def test_a_wild_instruction_pointer_has_no_call_before_it(after: int) -> None:
    with pytest.raises(ReplayError, match="no call instruction"):
        call_length(lambda _address, _size: None, after)


@pytest.mark.parametrize(
    ("region", "message"),
    [
        (ReplayRegion(DATA, PAGE, 0x04, bytes(PAGE)), "mapped already"),
        (ReplayRegion(0x50_0000, PAGE, 0x04, bytes(PAGE - 1)), "0xfff bytes, expected 0x1000"),
        (ReplayRegion(0x50_0800, PAGE, 0x04, bytes(PAGE)), "expected page multiples"),
        (ReplayRegion(1 << 47, PAGE, 0x04, bytes(PAGE)), "canonical"),
    ],
    ids=["overlap", "short data", "unaligned", "non-canonical"],
)
def test_memory_that_no_machine_could_hold_is_refused(region: ReplayRegion, message: str) -> None:
    memory, context = state("8b00")
    with pytest.raises(ReplayError, match=message):
        replay([*memory, region], context, FXSAVE, TEB)


def test_a_context_of_another_privilege_level_is_refused_or_corrected() -> None:
    memory, context = state("f4")
    assert replay(memory, {**context, "SegCs": 0x10, "EFlags": 0x3202}, FXSAVE, TEB).code == 0xC0000096
    with pytest.raises(ReplayError, match="SegSs"):
        replay(memory, {**context, "SegSs": 0x29}, FXSAVE, TEB)
    with pytest.raises(ReplayError, match="512"):
        replay(memory, context, FXSAVE[:-1], TEB)


def test_a_port_instruction_is_refused() -> None:
    with pytest.raises(ReplayError, match="IN or OUT"):
        run("e460")


def test_replay_is_repeatable_and_leaves_its_input_alone() -> None:
    memory, context = raised(DIRECT)
    before = [region.data for region in memory], dict(context)
    assert len({replay(memory, context, FXSAVE, TEB) for _ in range(3)}) == 1
    assert ([region.data for region in memory], context) == before
