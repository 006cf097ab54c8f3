"""Reading the read model: one generation a round trip, only while it is whole, and as new as the caller asks."""
