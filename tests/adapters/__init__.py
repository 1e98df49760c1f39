"""The adapters, against real neighbours where there are any."""
