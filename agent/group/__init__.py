"""A group's keys as plain data, for the pages and the command line. Nothing is asked here."""
