"""The reports (text, JSON, JUnit, SARIF), and the maps of memory and file."""
