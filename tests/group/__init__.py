"""A group's keys as plain data."""
