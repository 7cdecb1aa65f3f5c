"""What the last bytes of a basic block say about calls and returns."""

from __future__ import annotations

import pytest
from dumptruth.emu.machine.block_end import BlockEnd, ending

END = 0x1000
CALLS = {
    "call rel32": "e8 fb ff ff ff",
    "call rax": "ff d0",
    "call r8": "41 ff d0",
    "call [rax]": "ff 10",
    "call [rip+disp32]": "ff 15 10 20 00 00",
    "call [rax+disp8]": "ff 50 08",
    "call [rsp+disp8]": "ff 54 24 08",
    "call [rax+disp32]": "ff 90 00 01 00 00",
    "call [rax+rcx*8+disp32]": "ff 94 c8 00 01 00 00",
    "call [rcx*8+disp32]": "ff 14 cd 00 01 00 00",
}
RETURNS = {
    "ret": "5b c3",
    "rep ret": "f3 c3",
    "ret imm16": "c2 10 00",
    "iretq": "48 cf",
    "sysretq": "48 0f 07",
    "ret after add rsp, 78h": "48 83 c4 78 c3",
}
NEITHER = {
    "jmp rel32": "e9 00 01 00 00",
    "jmp rel8": "eb 10",
    "jne rel8": "75 10",
    "jmp [rip+disp32]": "ff 25 10 20 00 00",
    "jmp rax": "ff e0",
    "mov eax, edx; jmp rel8 that looks like ret imm16": "89 c2 eb 11",
    "syscall": "0f 05",
}


@pytest.mark.parametrize("code", CALLS.values(), ids=CALLS)
def test_a_call_is_a_call(code: str) -> None:
    found = ending(bytes.fromhex(code), END)
    assert found is not None
    assert found.call
    assert found.address == END


def test_a_call_with_a_displacement_names_its_only_target() -> None:
    found = ending(bytes.fromhex("e8 fb ff ff ff"), END)
    assert found is not None
    assert found.target == END - 5


@pytest.mark.parametrize("code", RETURNS.values(), ids=RETURNS)
def test_a_return_is_a_return(code: str) -> None:
    found = ending(bytes.fromhex(code), END)
    assert found is not None
    assert not found.call


@pytest.mark.parametrize("code", NEITHER.values(), ids=NEITHER)
def test_other_instructions_are_neither(code: str) -> None:
    assert ending(bytes.fromhex(code), END) is None


def test_a_short_jump_that_looks_like_a_return_tells_where_it_goes() -> None:
    found = ending(bytes.fromhex("90 eb c3"), END)
    assert found is not None
    assert found.jump == END - 0x3D


def test_a_block_of_another_size_is_decoded_again() -> None:
    code = bytearray(b"\x90\x90\xc3")
    blocks = BlockEnd(lambda address, size: bytes(code[address : address + size]))
    assert blocks.of(0, 2) is None
    assert blocks.plain == {0: 2}
    assert blocks.of(0, 3) is not None
    blocks.clear()
    assert blocks.plain == {}
