"""How events become documents, and what a document is indexed under. Pure: values in, values out.

Within a document each field belongs to one stream, and what several streams share is free of order, so that any
interleaving of the streams gives the same document. A document may be missing still when an event for it comes.
"""
