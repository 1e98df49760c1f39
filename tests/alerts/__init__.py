"""Alert channels: what they are sent, and that none of them holds up anything."""
