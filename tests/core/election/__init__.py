"""Who may lead, and who goes first."""
