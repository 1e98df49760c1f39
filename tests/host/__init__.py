"""Clocks, processes, files and logs of the machine."""
