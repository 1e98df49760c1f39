"""Tests of what watches over the agent, and stops nodeos when there is none."""
