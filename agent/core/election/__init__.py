"""Who may lead, who goes first, and what operators set about it."""
