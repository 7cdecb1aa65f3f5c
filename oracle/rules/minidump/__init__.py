"""Rules that judge a minidump by its format, with or without truth."""
