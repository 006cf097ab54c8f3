"""What read models must not lose with Redis: which generations there are, and which events were discarded."""
