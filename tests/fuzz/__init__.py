"""Parsers of what others write, fed with good input gone bad."""
