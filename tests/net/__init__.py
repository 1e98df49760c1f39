"""Sockets and deadlines, against peers that do what no server should."""
