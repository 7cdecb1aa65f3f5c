"""From a request to the streams and the memory that the dump will hold, each with its reason."""
