"""Runs the whole system on one machine, and gives the tests servers of their own."""
