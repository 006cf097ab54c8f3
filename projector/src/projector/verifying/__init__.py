"""``projector verify``: compares every document, index and sum of a generation with the log, beside live traffic."""
