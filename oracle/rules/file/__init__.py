"""Rules for the file itself, of any kind."""
