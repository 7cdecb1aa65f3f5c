"""From a stopped process or machine to a snapshot."""
