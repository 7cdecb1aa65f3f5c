"""The judge reads the example cabinet of [MS-CAB] section 3, typed byte by byte from that document."""

from __future__ import annotations

from dumptruth.oracle import ByteSource, Outcome, Verdict, check, read_cabinet

CABINET = bytes.fromhex("""
    4D 53 43 46  00 00 00 00  FD 00 00 00  00 00 00 00
    2C 00 00 00  00 00 00 00  03 01 01 00  02 00 00 00
    22 06 00 00
    5E 00 00 00  01 00 00 00
    4D 00 00 00  00 00 00 00  00 00 6C 22  BA 59 20 00  68 65 6C 6C 6F 2E 63 00
    4A 00 00 00  4D 00 00 00  00 00 6C 22  E7 59 20 00  77 65 6C 63 6F 6D 65 2E 63 00
    BD 5A A6 30  97 00 97 00
    23 69 6E 63 6C 75 64 65 20 3C 73 74 64 69 6F 2E 68 3E 0D 0A 0D 0A 76 6F 69 64 20 6D 61 69 6E 28
    76 6F 69 64 29 0D 0A 7B 0D 0A 20 20 20 20 70 72 69 6E 74 66 28 22 48 65 6C 6C 6F 2C 20 77 6F 72
    6C 64 21 5C 6E 22 29 3B 0D 0A 7D 0D 0A
    23 69 6E 63 6C 75 64 65 20 3C 73 74 64 69 6F 2E 68 3E 0D 0A 0D 0A 76 6F 69 64 20 6D 61 69 6E 28
    76 6F 69 64 29 0D 0A 7B 0D 0A 20 20 20 20 70 72 69 6E 74 66 28 22 57 65 6C 63 6F 6D 65 21 5C 6E
    22 29 3B 0D 0A 7D 0D 0A 0D 0A
""")
"""Two source files, stored in one block. The checksum 0x30A65ABD covers three bytes after the last whole dword."""


def test_the_cabinet_of_the_specification_is_read_to_the_last_byte() -> None:
    read = read_cabinet(ByteSource(CABINET))
    assert read.defects == []
    assert (read.accounting.claimed, read.accounting.unclaimed) == (0xFD, 0)
    assert read.header is not None
    assert (read.header["setID"], read.header["coffFiles"], read.header["cFiles"]) == (0x622, 0x2C, 2)
    hello, welcome = read.members
    assert (hello.name, hello.size, hello.record["date"], hello.record["time"]) == ("hello.c", 77, 0x226C, 0x59BA)
    assert (welcome.name, welcome.start, welcome.record["attribs"]) == ("welcome.c", 77, 0x20)
    assert hello.source is not None
    assert welcome.source is not None
    assert b'printf("Hello, world!\\n");' in hello.source.read(0, 100)
    assert welcome.source.read(0, 100).endswith(b'printf("Welcome!\\n");\r\n}\r\n\r\n')


def test_the_cabinet_of_the_specification_passes_every_cabinet_rule() -> None:
    report = check(ByteSource(CABINET, "hello.cab"), strict=True)
    failed = {result.rule for result in report.results if result.verdict is Verdict.FAIL}
    assert failed == {"CAB-DUMP-001"}
    assert check(ByteSource(CABINET, "hello.cab")).outcome is Outcome.NOT_A_DUMP
