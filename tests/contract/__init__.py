"""Promises of a port, checked on every implementation of it."""
