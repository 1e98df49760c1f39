"""Sockets that keep a total deadline, and HTTP over them."""
