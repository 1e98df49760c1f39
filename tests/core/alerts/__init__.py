"""What is told, and when it is over."""
