"""Bytes of files, ranges of integers, sets of pages, and the page-table walker."""
