"""The kinds of objects that have copies on the host: what is special about each."""
