"""Each corruption that docs/format says a test must find has a mutant."""

from __future__ import annotations

import pytest
from dumptruth.fixtures.mutants import all_mutants

# docs/format/kernel-pages.md#corruption-that-tests-must-find; tests/meta/test_mutants.py shows that each is found.
CORRUPTION = {
    "one bit flipped in the bitmap": "KBMP-COUNT-001/bit-flipped",
    "one kernel leaf page dropped": "KPAG-KERNEL-001/pool-page-left-out",
    "one user page added": "KPAG-KERNEL-002/user-page-leaked",
    "two pages swapped": "KPAG-BYTES-001/two-pages-swapped",
    "run length off by one": "KPAG-RUNS-003/run-length-off-by-one",
    "wrong DumpType slot": "KHDR-TYPE-002/type-four-bytes-too-early",
    "stale KDBG.Size": "KTRI-SIZES-001/stale-size-of-debugger-data",
    "ValidOffset off by 4": "KTRI-END-001/valid-offset-off-by-four",
    "DUMP_STRING length in bytes": "KTRI-POOL-001/string-length-in-bytes",
    "unsorted runs": "KPAG-RUNS-001/unsorted-runs",
    "DirectoryTableBase with PCID, own files": "KHDR-DTB-001/root-with-pcid",
    "page changed after capture": "KPAG-BYTES-001/page-changed-after-the-capture",
    "NumberProcessors + 1": "KXCT-PRCB-001/one-processor-more-than-there-is",
    "KPRCB.Context Rsp different from the header's": "KXCT-CONTEXT-001/prcb-context-of-another-moment",
    "RequiredDumpSpace short": "KHDR-SPACE-001/required-space-short",
    "one changed byte inside a data block": "KTRI-DATA-004/byte-changed-in-a-block",
}


@pytest.mark.parametrize("entry", CORRUPTION)
def test_every_entry_of_the_list_is_a_mutant(entry: str) -> None:
    assert CORRUPTION[entry] in all_mutants()
