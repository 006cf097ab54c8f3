"""Alerts: whose stock ran out or low, and when."""
