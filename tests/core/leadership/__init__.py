"""The rules of the leadership protocol."""
