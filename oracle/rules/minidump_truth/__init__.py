"""Rules that judge a minidump against truth and request."""
