"""What is done about differences between the two clusters: pods, what they use, tokens, events."""
