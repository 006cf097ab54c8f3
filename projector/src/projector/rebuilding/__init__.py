"""``projector rebuild``: makes the next generation of the read model beside the live one, and switches to it.

See decisions/0007-a-rebuild-beside-the-live-generation.md.
"""
