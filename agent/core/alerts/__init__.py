"""What is worth telling people, and when it is over. None of them knows the node, and nothing is sent here."""
