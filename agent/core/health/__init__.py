"""Health: what the probes found, and how a check makes up its mind. Pure."""
