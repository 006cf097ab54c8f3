"""What operators see of poison and what they do about it, on the command line and over HTTP."""
