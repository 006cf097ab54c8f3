"""Queued commands: accepted now, executed later, once."""
