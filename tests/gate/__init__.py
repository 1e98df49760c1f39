"""The signing gate: its page, its process, its proof."""
