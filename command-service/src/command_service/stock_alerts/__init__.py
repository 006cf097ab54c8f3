"""Alerts that a product runs out or low: internal, recorded by a process manager."""
