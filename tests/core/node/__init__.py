"""One agent as a whole."""
