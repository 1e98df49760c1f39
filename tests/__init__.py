"""The tests; see pyproject.toml for what is run by default."""
