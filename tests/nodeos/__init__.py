"""What is read from nodeos, and how it is ended."""
