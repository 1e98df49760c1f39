"""The exhaustive search of the real leadership core."""
