"""The AsyncAPI document: what programs that speak to the broker itself must know of exchanges, queues and messages."""
