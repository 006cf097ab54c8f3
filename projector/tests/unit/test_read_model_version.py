"""`READ_MODEL` is raised with every change of what the same log is made into."""

from hashlib import blake2b
from typing import Any

import orjson
from projector_testing.expectation import Written, fold_into
from projector_testing.shop import Log, ndjson, product_id
from projector_testing.trading import shop, trade

from contracts.keys import READ_MODEL
from projector.folding import State

LOG = "b131ea71ea39ca4e"
READ_MODELS = {1: "dafcd26110e89990"}
"""What the log is made into, by `READ_MODEL`."""


def fingerprint(content: bytes) -> str:
    return blake2b(content, digest_size=8).hexdigest()


def a_log() -> Log:
    log = shop()
    return trade(log, [product_id(n) for n in range(1, 6)], 1000, seed=1)


def canonical(value: Any) -> Any:
    match value:
        case bytes():
            return value.hex()
        case set():
            return sorted(member.hex() for member in value)
        case dict():
            return sorted((key.hex(), canonical(score)) for key, score in value.items())
        case _:
            return value


def test_another_read_model_of_the_same_log_has_another_version() -> None:
    log = a_log()
    assert fingerprint(ndjson(log.events)) == LOG, "the log of this test is another: pin it and what it is made into"
    state, changes = fold_into(State({}, {}, {}), log.events)
    written = Written()
    written.write(changes)
    made = fingerprint(orjson.dumps(sorted((k, canonical(v)) for k, v in written.keys(state).items())))
    assert READ_MODELS.get(READ_MODEL) == made, (
        "documents, indexes or sums of the same log have changed: raise READ_MODEL in contracts/keys.py, so that read "
        f"models made before are made anew (`projector rebuild`), and pin {made!r} for the new version"
    )
