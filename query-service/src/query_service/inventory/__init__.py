"""Stock: of one product, and what is short or out."""
