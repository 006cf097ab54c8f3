"""What two Stockroom processes must agree on, and nothing else.

Events and their envelope, the documents of the read model and where they are kept, the broker's topology, and
consistency tokens. No I/O happens here.
"""
