"""Products: by id, by SKU, several at once, in lists and by search; related ones, history, categories and ratings."""
