"""Fail when a test was skipped for a reason that is not among those explained here.

Usage: python skips.py JUNIT.xml

A skip is a promise that somebody else runs the test. `.ci/run` installs every extra, so what is left is below.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

EXPLAINED = {
    r"obj2yaml is not installed": "LLVM's obj2yaml is a system package; it is witness number three of four",
    r"pinned for (file 5\.44 and 5\.45|obj2yaml before version 20)": "a fault of the system's witness; it is another",
    r"file is not installed": "file is a system package and reads the header only",
    r"Chromium and its driver are not installed": "the browser that opens the HTML report is a system package",
    r"needs a user whom permissions bind": "root is bound by none; other tests take folders away",
    r"the corpus of real dumps is not beside the checkout": "the real dumps are not part of this repository",
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
