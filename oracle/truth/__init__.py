"""Loads truths: the state of a target, in the format of docs/truth-format.md."""
