"""Records and slots."""
