"""The loop and what carries its actions out."""
