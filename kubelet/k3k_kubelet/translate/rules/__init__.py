"""Functions of the field table, by subject."""
