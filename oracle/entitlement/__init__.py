"""What a dump must, may and must not hold, for a truth and a request: streams, memory, pages."""
