"""Windows, ledger and tripwire."""
