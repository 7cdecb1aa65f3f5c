"""The debugger: DebugClient, the .dump command, the stored event, the files of a cabinet."""
