"""The truth directory, as the oracle loads it. The format: truth-format.md."""
