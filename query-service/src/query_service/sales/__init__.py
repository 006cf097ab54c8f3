"""Sales of each day."""
