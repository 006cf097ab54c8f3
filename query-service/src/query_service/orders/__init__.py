"""Orders: by id, by customer and state; and their history."""
