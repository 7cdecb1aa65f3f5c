"""Bytes and intervals: the bounded source, page sets, the page-table walker."""
