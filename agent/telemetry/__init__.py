"""What the agent shows of itself: metrics, lines for the log, pages over HTTP. Nothing is decided here."""
