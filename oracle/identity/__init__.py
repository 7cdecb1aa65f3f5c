"""Answers "what is this dump?": its crash by name, its system, its writer, and what it holds and lacks."""
