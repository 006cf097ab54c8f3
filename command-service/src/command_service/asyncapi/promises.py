"""What the document says in words: what Stockroom promises on the broker, and what it expects."""

from typing import Final

from contracts.topology import COMMANDS_EXCHANGE, COMMANDS_IN, EVENTS_EXCHANGE, ORIGIN_HEADER, REASON_HEADER

INFO: Final = """\
What Stockroom publishes on its broker, and what may be published to it. The same events can be read over HTTP from
the log (`GET /events`, `GET /streams/{stream_id}/events`), and the same commands sent to `POST /commands`: see
`openapi.json` beside this document. `GET /system` tells the number of partitions, which the channels list too.
"""

SERVER: Final = "RabbitMQ 3.10 or newer. Whoever runs the shop gives you its address, virtual host and an account."

EVENTS: Final = """\
Every event that was committed is published at least once to each queue that is bound to its partition, or to the kind
of its stream within it. The events of one stream come in its order, as do all events with one partition key;
partitions don't wait for each other. A repeat may come at any time, also after later events.

Messages are persistent, mandatory and confirmed. What the broker refuses or returns is published again until it is
taken, so a partition waits while one of its queues rejects messages: don't limit the length of yours.
"""

SUBSCRIBING: Final = f"""\
To write a subscriber of your own:

1. Choose a name, and declare a queue for every partition with the arguments that stand here, each bound to
   `{EVENTS_EXCHANGE}` by its partition's number. From then on nothing is published past you. With
   `x-single-active-consumer` several instances may consume, and the order still holds. Who follows some kinds of
   stream alone (`product`, `inventory`, `rating`, `order`, `stockalert`) binds to `<partition>.<kind>` instead, for
   each of them: the messages that have such events come whole, the others not at all.
2. Keep, beside your own state, the last version applied of every stream (`subject`). Apply an event only if its
   `streamversion` is the next one, in one transaction with its effect. An older one is a repeat: ignore it. A newer
   one is a gap: read the missing ones from `GET /streams/{{subject}}/events?after=<version>` before you go on.
3. Acknowledge after that transaction, and never before.
4. Begin with what happened before your queues were there: read `GET /events` from position 0 up to the header
   `Stockroom-Settled`. The versions of step 2 merge it with what the queues bring.
5. Keep the position up to which you have compared yourself with `GET /events/heads`, and go on from it at the start,
   after a lost connection and now and then: a stream's last event leaves no gap when a queue was lost.
6. Ignore event types and members that you don't know. An event of a newer `schemaversion` than you know needs a newer
   subscriber; the log also gives events of older ones.

Delete the queues of a subscriber that you don't need any more: they fill up.
"""

COMMANDS: Final = f"""\
To have a command executed, publish it to the exchange `{COMMANDS_EXCHANGE}` with the routing key `{COMMANDS_IN}`,
persistent (delivery mode 2) and mandatory, and wait for the broker's confirm. Without a confirm, publish it again: the
same id with the same content happens once, by whichever way it comes, `POST /commands` included. For example:

    {{"id": "price-list-7.NW-38", "type": "ChangePrice",
     "data": {{"product_id": "0190a5f0-7c3e-7b1a-9d2e-3f4a5b6c7d8e", "price": "18.50"}}}}

Commands about one target that are published one after the other with the same routing key are executed in that order;
between targets, and between routing keys or HTTP, nothing is promised. Whoever computes the partition (CRC-32 of the
product's or order's id in lower case, modulo the number of partitions) may use it as routing key and save a hop.

The outcome is at `GET /commands/{{id}}` as soon as a worker has executed the command; until then that answers 404.
What is not valid ends there as `rejected` if it has an `id` in its body. What has none, or comes under the id of
another command, is kept among the dead letters.
"""

EXECUTION: Final = f"""\
Workers acknowledge a command after what it did is committed, or its refusal is written down. The queue of
`{COMMANDS_IN}` is passed on to those of the partitions, in its order.
"""

DEAD_LETTERS: Final = f"""\
A command that nobody could look up an outcome for, and a message of events that the read model's projector can't read
at all, are kept here, with the reason in the header `{REASON_HEADER}` and in `{ORIGIN_HEADER}` by where they had come.
What another subscriber of Stockroom can't read comes here by way of the broker, with the broker's own header `x-death`.
"""
