"""What stops nodeos when the agent cannot."""
