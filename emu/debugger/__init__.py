"""The debugger: DebugClient, the .dump command, and what goes with a dump."""
