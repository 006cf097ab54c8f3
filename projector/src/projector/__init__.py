"""Folds the shop's events into the read model in Redis, and keeps it level with the log."""
