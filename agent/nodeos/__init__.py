"""The nodeos beside this agent: its API, its options, who listens at its address, and how it is ended."""
