"""The recorder of calls, driven by hand: each step says how a block ended, where the code went, and RSP there."""

from __future__ import annotations

from dumptruth.emu.machine.block_end import BlockEnd, Ending
from dumptruth.emu.machine.shadow_stack import Entered, ShadowStack, Span

FIRST: Span = (0x1000, 0x2000, 0)
SECOND: Span = (0x5000, 0x6000, 0)


class Guest:
    """A shadow stack whose guest is this test."""

    def __init__(self) -> None:
        self.sp = 0x1F00
        self.words: dict[int, int] = {}
        self.stack = ShadowStack(self.find, lambda: self.sp, self.words.get, BlockEnd(lambda _address, _size: None))
        self.stack.begin(0x100, self.sp, supervisor=False)

    @staticmethod
    def find(sp: int) -> Span | None:
        return next((span for span in (FIRST, SECOND) if span[0] < sp <= span[1]), None)

    def call(self, target: int, back: int, sp: int) -> None:
        """A call whose return address lies at `sp`."""
        self.sp = sp
        self.words[sp] = back
        self.stack.transfer(Ending(back, call=True, target=target), target)

    def ret(self, to: int, sp: int) -> None:
        self.sp = sp
        self.stack.transfer(Ending(0xFFFF, call=False), to)

    def frames(self, rip: int) -> list[int]:
        return [frame.instruction_pointer for frame in self.stack.frames(rip, self.sp)]


def test_calls_are_frames_until_they_return() -> None:
    guest = Guest()
    guest.call(0x200, 0x105, 0x1E00)
    guest.call(0x300, 0x205, 0x1D00)
    assert guest.frames(0x301) == [0x301, 0x205, 0x105]
    guest.ret(0x205, 0x1D08)
    assert guest.frames(0x206) == [0x206, 0x105]


def test_a_frame_tells_how_it_was_entered_and_its_stack_pointer() -> None:
    guest = Guest()
    guest.call(0x200, 0x105, 0x1E00)
    guest.sp = 0x1DC0
    inner, outer = guest.stack.frames(0x210, guest.sp)
    assert (inner.entered, inner.entry, inner.stack_pointer) == (Entered.CALL, 0x200, 0x1DC0)
    assert (outer.entered, outer.entry, outer.stack_pointer) == (Entered.START, None, 0x1E08)


def test_a_call_by_bytes_that_only_look_like_one_is_none() -> None:
    guest = Guest()
    guest.sp = 0x1E00
    guest.stack.transfer(Ending(0x105, call=True, target=0x999), 0x200)
    guest.stack.transfer(Ending(0x105, call=True), 0x200)  # no return address at RSP
    assert guest.frames(0x200) == [0x200]


def test_a_jump_over_frames_ends_them() -> None:
    guest = Guest()
    guest.call(0x200, 0x105, 0x1E00)
    guest.call(0x300, 0x205, 0x1D00)
    guest.call(0x400, 0x305, 0x1C00)
    guest.sp = 0x1DE0  # no block ended with a return
    assert guest.frames(0x250) == [0x250, 0x105]
    guest.call(0x500, 0x255, 0x1DD8)
    assert guest.frames(0x500) == [0x500, 0x255, 0x105]


def test_recursion_keeps_each_frame() -> None:
    guest = Guest()
    for depth in range(5):
        guest.call(0x200, 0x205, 0x1E00 - 0x40 * depth)
    assert guest.frames(0x200) == [0x200] + [0x205] * 5


def test_a_function_may_call_from_another_stack() -> None:
    guest = Guest()
    guest.call(0x200, 0x105, 0x1E00)
    guest.call(0x300, 0x205, 0x5F00)
    assert guest.frames(0x300) == [0x300, 0x205, 0x105]
    guest.ret(0x205, 0x5F08)
    guest.call(0x400, 0x215, 0x1DF0)  # it went back to its own stack
    assert guest.frames(0x400) == [0x400, 0x215, 0x105]


def test_a_switch_of_stacks_by_a_return_keeps_both() -> None:
    guest = Guest()
    guest.call(0x200, 0x105, 0x1E00)
    guest.call(0x900, 0x205, 0x1D00)  # the function that switches
    guest.ret(0x700, 0x5F00)  # to a new stack
    assert guest.frames(0x700) == [0x700]
    guest.call(0x800, 0x705, 0x5E00)
    guest.call(0x900, 0x805, 0x5D00)
    guest.ret(0x205, 0x1D08)
    assert guest.frames(0x206) == [0x206, 0x105]
    guest.call(0x900, 0x215, 0x1D00)
    guest.ret(0x805, 0x5D08)
    assert guest.frames(0x806) == [0x806, 0x705]


def test_a_switch_to_a_stack_with_the_same_return_address_takes_its_frames() -> None:
    guest = Guest()
    guest.call(0x200, 0x105, 0x1E00)
    guest.call(0x900, 0x205, 0x1D00)
    guest.ret(0x700, 0x5F00)
    guest.call(0x200, 0x705, 0x5E00)
    guest.call(0x900, 0x205, 0x5D00)
    guest.ret(0x205, 0x1D08)  # the same code of the other thread goes on
    assert guest.frames(0x206) == [0x206, 0x105]
    assert [frame.instruction_pointer for frame in guest.stack.frames_of_stack(0x5C00)] == [0x205, 0x705]


def test_an_interrupt_on_the_same_stack_is_a_frame_until_it_returns() -> None:
    guest = Guest()
    guest.call(0x200, 0x105, 0x1E00)
    guest.stack.end(0x210, 0x1DC0, 0x210, None, within=True)
    guest.stack.begin(0x8000, 0x1D90, supervisor=True)
    guest.call(0x8100, 0x8005, 0x1C00)
    frames = guest.stack.frames(0x8100, guest.sp)
    assert [(frame.instruction_pointer, frame.entered) for frame in frames] == [
        (0x8100, Entered.CALL),
        (0x8005, Entered.TRAP),
        (0x210, Entered.CALL),
        (0x105, Entered.START),
    ]
    guest.ret(0x8005, 0x1C08)
    guest.ret(0x210, 0x1DC0)  # IRET
    assert guest.frames(0x210) == [0x210, 0x105]


def test_a_system_call_leads_to_the_caller_on_the_other_stack_each_time() -> None:
    guest = Guest()
    guest.call(0x200, 0x105, 0x1E00)
    for round_ in range(2):
        guest.stack.end(0x210 + round_, 0x1DC0, 0x212 + round_, None, within=True)
        guest.stack.begin(0x8000, 0x1DC0, supervisor=True, called=True)
        guest.call(0x8100, 0x8005, 0x5F00)  # the kernel has taken its own stack
        frames = guest.stack.frames(0x8100, guest.sp)
        assert [(frame.instruction_pointer, frame.entered) for frame in frames] == [
            (0x8100, Entered.CALL),
            (0x8005, Entered.SYSTEM_CALL),
            (0x212 + round_, Entered.CALL),
            (0x105, Entered.START),
        ]
        guest.ret(0x8005, 0x5F08)
        guest.ret(0x212 + round_, 0x1DC0)
        assert guest.frames(0x213) == [0x213, 0x105]


def test_an_exception_that_the_host_delivers_in_user_mode_is_a_frame() -> None:
    guest = Guest()
    guest.call(0x200, 0x105, 0x1E00)
    guest.stack.end(0x210, 0x1DC0, 0x210, None, within=True)
    guest.stack.begin(0x7000, 0x1800, supervisor=False)
    guest.sp = 0x1800
    assert guest.frames(0x7000) == [0x7000, 0x210, 0x105]
    guest.stack.end(0x7010, 0x1800, 0x7012, None, within=True)
    guest.stack.begin(0x210, 0x1DC0, supervisor=False)  # NtContinue
    guest.sp = 0x1DC0
    assert guest.frames(0x210) == [0x210, 0x105]


def test_a_call_whose_target_cannot_be_fetched_is_a_frame() -> None:
    guest = Guest()
    guest.sp = 0x1E00
    guest.words[0x1E00] = 0x105
    guest.stack.end(0xBAD0, 0x1E00, 0xBAD0, Ending(0x105, call=True), within=False)
    assert guest.frames(0xBAD0) == [0xBAD0, 0x105]


def test_a_call_that_faults_is_no_frame() -> None:
    guest = Guest()
    guest.stack.end(0x100, 0x1F00, 0x100, Ending(0x105, call=True), within=True)
    assert guest.frames(0x100) == [0x100]


def test_a_lost_stack_pointer_loses_no_caller() -> None:
    guest = Guest()
    guest.call(0x200, 0x105, 0x1E00)
    guest.sp = 0xDEAD0000
    assert guest.frames(0x210) == [0x210, 0x105]


def test_threads_of_the_host_have_frames_of_their_own() -> None:
    guest = Guest()
    guest.stack.switch_to(1)
    guest.stack.begin(0x100, 0x1F00, supervisor=False)
    guest.call(0x200, 0x105, 0x1E00)
    guest.stack.switch_to(2)
    guest.stack.begin(0x500, 0x5F00, supervisor=False)
    guest.call(0x600, 0x505, 0x5E00)
    first = guest.stack.frames_of_thread(1, 0x210, 0x1DC0)
    second = guest.stack.frames_of_thread(2, 0x600, 0x5E00)
    assert [frame.instruction_pointer for frame in first] == [0x210, 0x105]
    assert [frame.instruction_pointer for frame in second] == [0x600, 0x505]
