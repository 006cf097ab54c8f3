"""What a process answers over HTTP before it can work, while it works, and while it is being stopped."""

from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis import problems
from chassis.application import with_length
from chassis.http import Reply, json_reply, problem_reply
from chassis.problems import problem_document

_RETRY_AFTER: Final = (b"retry-after", b"1")


class Stages:
    """The application that the server knows: it hands each request to that of the present stage."""

    def __init__(self) -> None:
        self.starting: Starting | None = Starting()
        self._app: ASGIApp = self.starting

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def waits_for(self, what: str) -> None:
        """Has `/health/ready` say so, as long as the process starts."""
        if self.starting is not None:
            self.starting.waits_for = what

    def open(self, app: ASGIApp) -> None:
        """From now on `app` answers, which knows by itself whether it is ready."""
        self.starting = None
        self._app = app

    def drain(self) -> None:
        """From now on the process is not ready, and asks every client to use another connection; else all goes on."""
        self._app = Draining(self._app)


class Starting:
    """Live and not ready; whatever else is asked for is a problem that says to come again."""

    def __init__(self) -> None:
        self.waits_for = "being started"

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        match scope["path"]:
            case "/health/live":
                reply = json_reply(200, {"status": "live"})
            case "/health/ready":
                reply = _not_ready({"start": self.waits_for})
            case "/metrics":
                reply = Reply(200, generate_latest(), ((b"content-type", CONTENT_TYPE_LATEST.encode()),))
            case _:
                detail = "This process is starting and does not answer yet."
                reply = problem_reply(problem_document(problems.UNAVAILABLE, detail), _RETRY_AFTER)
        await _send(reply, send)


class Draining:
    """What it stands before, but not ready any more."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_last(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
            await send(message)

        if scope["path"] == "/health/ready":
            await _send(_not_ready({"process": "stopping"}), send_last)
        else:
            await self._app(scope, receive, send_last)


def _not_ready(checks: dict[str, str]) -> Reply:
    return json_reply(503, {"status": "not ready", "checks": checks})


async def _send(reply: Reply, send: Send) -> None:
    await send({"type": "http.response.start", "status": reply.status, "headers": with_length(reply)})
    await send({"type": "http.response.body", "body": reply.body})
