"""The judge: parses a dump, and says what is missing, forbidden or wrong in it.

Imports nothing of ``dumptruth.emu``; needs neither unicorn nor lief.
"""
