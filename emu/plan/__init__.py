"""Plans a dump: which streams and which memory a request leads to, each with its reason."""
