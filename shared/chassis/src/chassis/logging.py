"""Structured logs: one JSON object a line on standard output, with the correlation id of what was being done.

Log names and ids, never whole commands or tokens.
"""

import logging
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final

import orjson
import structlog

_NOTHING: Final[Mapping[str, str | None]] = {}
_bound: ContextVar[Mapping[str, str | None]] = ContextVar("stockroom_log_context", default=_NOTHING)


def bind(name: str, value: str | None) -> None:
    """From here on all that this task logs carries `name`, until it is bound anew. Cheap enough for every request."""
    # A new mapping: the tasks that this one was made by, and those that it makes, have the same one.
    _bound.set({**_bound.get(), name: value})


def get_logger(name: str) -> Any:
    """A logger with ``info("event_name", key=value)`` and its like."""
    return structlog.get_logger(name)


def configure(service: str, level: str = "info") -> None:
    """Sends the logs of this process, those of libraries too, to standard output as JSON."""

    def add_service(_logger: Any, _method: str, event: Any) -> Any:
        event["service"] = service
        return event

    shared: list[Any] = [
        _add_bound,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_service,
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        # Below the level a call costs nothing: it is not even looked at.
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(serializer=_dumps),
        ],
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # Libraries tell every connection attempt and every request; theirs are not our operators' events.
    for noisy in ("aio_pika", "aiormq", "httpx", "httpcore", "uvicorn.access", "asyncio", "alembic"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    for name in ("aiormq", "aio_pika"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _add_bound(_logger: Any, _method: str, event: Any) -> Any:
    for name, value in _bound.get().items():
        if value is not None:
            event.setdefault(name, value)
    return event


def _dumps(value: Any, **_options: Any) -> str:
    return orjson.dumps(value, default=str).decode()
