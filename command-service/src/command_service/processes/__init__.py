"""Process managers: subscribers that answer events with commands, and keep deadlines."""
