"""What doctor finds: each check with a table of facts, and the whole against real parts."""
