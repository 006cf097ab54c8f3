"""Products: by id, by SKU, several at once, in lists and by search; categories and ratings."""
