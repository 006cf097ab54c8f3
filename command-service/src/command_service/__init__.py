"""The write side: commands are decided here, and what they decide is committed, published and never lost."""
