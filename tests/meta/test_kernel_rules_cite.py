"""Every section of the documents that states rules for kernel dumps is cited by a rule."""

from __future__ import annotations

from dumptruth.oracle import all_rules

# Sections of docs/format that state rules for kernel dumps, by page.
RULED = {
    "kernel-header": (
        "signature-and-size context-record mxcsr-in-the-context context-against-the-kprcb "
        "values-of-the-exception-record alignment-bytes exception-record"
    ),
    "kernel-kinds": (
        "accepted-dumptype-values type-for-each-kind sets-of-pages root-page-in-the-dump complete-dump "
        "kernel-dump user-page-tables-in-a-kernel-dump active-dump page-of-both-halves "
        "what-a-debugger-reads-first"
    ),
    "kernel-header-fields": (
        "versions number-of-processors bug-check-code-and-parameters kdsecondaryversion directorytablebase "
        "requireddumpspace comment times values-of-attributes"
    ),
    "kernel-secondary-data": "what-stands-behind-a-dump",
    "kernel-pages": (
        "every-byte-of-the-file number-of-runs order-of-runs sum-of-the-runs length-of-the-file set-bits "
        "size-of-the-bitmap alignment-in-bitmap-dumps bits-for-all-of-memory what-is-read-of-the-range-header "
        "run-at-pfn-0 bytes-of-a-page range-dump-header"
    ),
    "kernel-structures": (
        "debugger-data-agrees-with-the-header first-module-is-the-kernel rules-for-the-module-list "
        "processor-list shared-user-data-page context-of-the-crash-agrees mxcsr-and-fltsave "
        "page-table-root-in-the-header"
    ),
    "kernel-other-architectures": "paging-mode-of-x86",
    "kernel-small": (
        "size-and-end-marker offsets-of-the-parts minidumpfields what-a-small-dump-must-hold call-stack "
        "length-of-the-call-stack kprcb-eprocess-and-ethread contents-of-driver-entries string-pool "
        "unloaded-drivers debugger-data-part data-block-table overlapping-data-blocks"
    ),
    "kernel-small-real": "no-images-in-a-small-dump limits-on-size secondary-data-of-a-small-dump",
    "kernel-small-layouts": (
        "order-of-the-parts recipe-of-a-small-dump bytes-accounted-for requireddumpspace-of-a-small-dump"
    ),
}


def test_every_section_that_states_rules_is_cited_by_one() -> None:
    wanted = {f"docs/format/{page}.md#{heading}" for page, found in RULED.items() for heading in found.split()}
    assert wanted - {source.where for rule in all_rules().values() for source in rule.sources} == set()
