"""The core's own way to copy, for the search, which spends most of its time on copies. Nothing else lives here."""
