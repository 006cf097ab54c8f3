"""Sends commands in every way there is, and again under the same id after every unclear answer, until answered."""

import asyncio
import json
from collections.abc import Sequence
from random import Random
from typing import Any, Final

import aio_pika
import httpx

from chaos.matrix import Moment
from chaos.record import Record, Sent

ROUTES: Final = {
    "AddNewProduct": ("POST", "/products"),
    "UpdateProductDetails": ("PATCH", "/products/{product_id}"),
    "ChangePrice": ("POST", "/products/{product_id}/price-changes"),
    "DiscontinueProduct": ("DELETE", "/products/{product_id}"),
    "RelistProduct": ("POST", "/products/{product_id}/relistings"),
    "RateProduct": ("PUT", "/products/{product_id}/ratings/{user_id}"),
    "WithdrawRating": ("DELETE", "/products/{product_id}/ratings/{user_id}"),
    "AddToInventory": ("POST", "/inventory/{product_id}/additions"),
    "UpdateStockFromInventoryRecount": ("POST", "/inventory/{product_id}/recounts"),
    "ConfirmItemsShipped": ("POST", "/inventory/{product_id}/shipments"),
    "PlaceOrder": ("POST", "/orders"),
    "ConfirmPayment": ("POST", "/orders/{order_id}/payments"),
    "ShipOrder": ("POST", "/orders/{order_id}/shipments"),
    "CancelOrder": ("POST", "/orders/{order_id}/cancellation"),
    "ReturnItems": ("POST", "/orders/{order_id}/returns"),
}
WITHOUT_BODY: Final = ("DiscontinueProduct", "RelistProduct", "WithdrawRating")
WAYS: Final = {"at once": 70, "respond-async": 12, "array": 12, "broker": 6}
REFUSED: Final = (404, 409, 412, 422)


class Unclear(Exception):
    """Whether the command happened is not known: it must be sent again."""


class Broker:
    """Publishes commands straight to the exchange, as any program may."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = asyncio.Lock()
        self._connection: aio_pika.abc.AbstractConnection | None = None

    async def publish(self, command: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(15):
                exchange = await self._connected()
                message = aio_pika.Message(json.dumps(command).encode(), delivery_mode=2)
                await exchange.publish(message, "in", timeout=10)
        except Exception as error:
            raise Unclear from error

    async def _connected(self) -> aio_pika.abc.AbstractExchange:
        async with self._lock:
            if self._connection is None or self._connection.is_closed:
                self._connection = await aio_pika.connect(self._url, timeout=5)
                channel = await self._connection.channel(on_return_raises=True)
                self._exchange = await channel.get_exchange("stockroom.commands")
        return self._exchange

    async def close(self) -> None:
        if self._connection is not None and not self._connection.is_closed:
            await self._connection.close()


class Sending:
    """One client's way to the command APIs."""

    def __init__(
        self, name: str, http: httpx.AsyncClient, urls: Sequence[str], broker: Broker, record: Record, random: Random
    ) -> None:
        self._name = name
        self._http = http
        self._urls = urls
        self._broker = broker
        self._record = record
        self._random = random
        self._count = 0

    async def send(
        self, kind: str, data: dict[str, Any], event: str | None, *may_be: str, if_match: int | None = None
    ) -> Sent:
        """The command's outcome. Any refusal that is not one of `may_be` is a finding."""
        self._count += 1
        matrix = self._record.matrix
        sent = Sent(f"{self._name}-{self._count}", kind, event, matrix.now.name)
        way = "at once" if if_match is not None else self._way()
        while True:
            before = matrix.now
            try:
                await self._once(way, sent, data, before, if_match)
                break
            except Unclear:
                self._record.retries += 1
                await asyncio.sleep(self._random.uniform(0.1, 0.8))
                way = "at once" if if_match is not None else self._way()
        self._record.sent[sent.id] = sent
        if sent.problem is not None and sent.problem not in may_be:
            matrix.find("failed", f"{kind} {sent.id} was refused: {sent.problem}", sent.during)
        if self._random.random() < 0.05:
            await self._repeat(sent, data, if_match)
        return sent

    def _way(self) -> str:
        return self._random.choices(list(WAYS), list(WAYS.values()))[0]

    async def _once(self, way: str, sent: Sent, data: dict[str, Any], before: Moment, if_match: int | None) -> None:
        if way in ("at once", "respond-async"):
            headers = {"Prefer": "respond-async, wait=10"} if way == "respond-async" else {}
            answer = await self._direct(sent, data, before, headers, if_match)
            if answer.status_code != 202:
                self._note(sent, answer)
                return
        else:
            document = {"type": sent.type, "data": data, "id": sent.id}
            if way == "broker":
                await self._broker.publish(document)
            else:
                answer = await self._http_request("POST", "/commands", before, json=[document])
                if answer.status_code != 202:
                    self._record.matrix.find("failed", f"{sent.type} {sent.id} was not accepted: {answer.text}")
        await self._wait_for_end(sent)

    async def _direct(
        self, sent: Sent, data: dict[str, Any], before: Moment, headers: dict[str, str], if_match: int | None
    ) -> httpx.Response:
        method, template = ROUTES[sent.type]
        in_path = [name for name in ("product_id", "order_id", "user_id") if f"{{{name}}}" in template]
        body = {name: value for name, value in data.items() if name not in in_path}
        headers = {**headers, "Idempotency-Key": sent.id}
        if if_match is not None:
            headers["If-Match"] = f'"{if_match}"'
        json_body = None if sent.type in WITHOUT_BODY else body
        return await self._http_request(method, template.format(**data), before, json=json_body, headers=headers)

    async def _http_request(self, method: str, path: str, before: Moment, **more: Any) -> httpx.Response:
        """An answer that says what became of the command, or that it was accepted."""
        matrix = self._record.matrix
        try:
            answer = await self._http.request(method, self._random.choice(self._urls) + path, **more)
        except httpx.TransportError as error:
            if matrix.is_calm_since(before):
                matrix.find("failed", f"{method} {path}: {type(error).__name__} {error}")
            raise Unclear from error
        if answer.status_code == 503:
            if not _is_problem(answer):
                matrix.find("failed", f"{method} {path}: 503 without a problem document")
            elif matrix.is_calm_since(before):
                matrix.find("failed", f"{method} {path}: 503 although nothing was wrong: {answer.text}")
            raise Unclear
        if not (answer.is_success or (answer.status_code in REFUSED and _is_problem(answer))):
            matrix.find("failed", f"{method} {path}: {answer.status_code} {answer.text[:300]}")
            raise Unclear
        return answer

    def _note(self, sent: Sent, answer: httpx.Response) -> None:
        if answer.is_success:
            sent.is_ok = True
            sent.version = int(answer.headers["etag"].strip('"'))
            sent.token = answer.headers["consistency-token"]
            sent.result_id = answer.json()["id"] if answer.content else None
        else:
            sent.problem = answer.json()["type"].rpartition("/")[2]

    async def _wait_for_end(self, sent: Sent) -> None:
        """Its receipt, once it has ended; unclear when it is not known yet, or nobody says."""
        for _ in range(8):
            answer = await self._http_request(
                "GET", f"/commands/{sent.id}", self._record.matrix.now, headers={"Prefer": "wait=5"}
            )
            receipt = answer.json()
            if answer.status_code == 404 or receipt["status"] == "accepted":
                await asyncio.sleep(0.1)
                continue
            if receipt["status"] == "failed":
                self._record.matrix.find("failed", f"{sent.type} {sent.id} failed: {receipt['problem']}", sent.during)
            sent.is_ok = receipt["status"] == "succeeded"
            sent.token = receipt["consistency_token"]
            if receipt["problem"] is not None:
                sent.problem = receipt["problem"]["type"].rpartition("/")[2]
            if receipt["result"] is not None:
                sent.result_id = receipt["result"]["id"]
            return
        raise Unclear

    async def _repeat(self, sent: Sent, data: dict[str, Any], if_match: int | None) -> None:
        """The same again must be answered the same, and something else under its id be refused."""
        matrix = self._record.matrix
        try:
            again = await self._direct(sent, data, matrix.now, {}, if_match)
            other = await self._direct(sent, data, matrix.now, {}, 987_654) if self._takes_if_match(sent) else None
        except Unclear:
            return
        second = Sent(sent.id, sent.type, sent.event, sent.during)
        self._note(second, again)
        if (second.is_ok, second.problem, second.token) != (sent.is_ok, sent.problem, sent.token):
            matrix.find("doubled", f"{sent.type} {sent.id} was answered {sent} and then {second}", sent.during)
        if other is not None and other.status_code != 422:
            matrix.find("doubled", f"{sent.type} {sent.id} came with another content: {other.status_code}")

    def _takes_if_match(self, sent: Sent) -> bool:
        return sent.type not in ("AddNewProduct", "PlaceOrder")


def _is_problem(answer: httpx.Response) -> bool:
    return bool(answer.headers.get("content-type") == "application/problem+json")
