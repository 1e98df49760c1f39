"""Configurations: what loads, what is refused, and in which words."""
