"""Fails when a test was skipped for a reason that this file does not explain.

Usage: python skips.py JUNIT.xml

`.ci/run` installs every extra, so only the reasons below are left.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

EXPLAINED = {
    r"obj2yaml is not installed": "LLVM's obj2yaml is a system package; three other readers are compared as well",
    r"pinned for (file 5\.44 and 5\.45|obj2yaml before version 20)": "the system has another version of the program",
    r"cabextract is not installed": "cabextract is a system package; zlib unpacks the same cabinets in other tests",
    r"the debugger engine cannot run|engine is not installed": "it needs Wine and DLLs from the network",
    r"file is not installed": "file is a system package and reads the header only",
    r"Chromium and its driver are not installed": "the browser that opens the HTML report is a system package",
    r"needs a user whom permissions bind": "no permission stops root; other tests remove folders instead",
    r"mingw": "mingw-w64 is a system package; other tests run programs of the ziglang package",
    r"is not in the search path; DUMPTRUTH_\w+": "stack walkers are system packages; the truth is tested alone",
    r"the shared cases are not here": "the cases are not part of this repository; other tests have their kinds",
    r"no corpus of real dumps": "the real dumps are not part of this repository",
    r"the (list|table) is about [^;]+; this is": "the system has another version of the program",
}


def main() -> int:
    skips = Counter(
        skipped.get("message", "no reason given") for skipped in ElementTree.parse(Path(sys.argv[1])).iter("skipped")
    )
    unexplained = 0
    for reason, count in sorted(skips.items()):
        why = next((text for pattern, text in EXPLAINED.items() if re.search(pattern, reason)), None)
        unexplained += why is None
        print(f"{count} skipped: {reason} [{why or 'NOT EXPLAINED'}]")
    print(f"{sum(skips.values())} tests skipped, {unexplained} reasons not explained")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
