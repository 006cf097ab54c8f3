"""A run: the whole system under load, one fault after another, and the judgement at the end."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from random import Random
from typing import Final

from chaos import faults, log, log_check, losses, poison, read_model_check, rebuilds
from chaos.faults import Fault, Skipped
from chaos.load import Load, Loop
from chaos.matrix import AFTERWARDS, Matrix
from chaos.record import Record
from chaos.shop import NotRecovered, Shop
from stockroom_local.servers.requirements import Means

FAULTS: Final = (*faults.FAULTS, *losses.FAULTS, *poison.FAULTS, *rebuilds.FAULTS)

QUIET_SECONDS: Final = 180
"""From the end of the load until all is level, without anyone's help."""

SHOWN_FINDINGS: Final = 30

AT_ONCE: Final = (7, 2, 1)
AT_ONCE_WHEN_SHORT: Final = (1, 2, 3)
"""How often one, two or three faults come at once: many where each is to come once and time is short."""

Tell = Callable[[str], None]


class Run:
    """`seconds` of faults, but each fault once at least; `seed` says which come when.

    With `only`, those faults alone whose names contain it: to look for the cause of a finding.
    """

    def __init__(self, means: Mapping[str, Means], seconds: float, seed: int, tell: Tell, only: str = "") -> None:
        self._faults = [fault for fault in FAULTS if only in fault.name]
        self._seconds = seconds
        self._seed = seed
        self._tell = tell
        self._random = Random(seed)
        self._matrix = Matrix()
        self._record = Record(self._matrix)
        self._loop = Loop()
        self._began = time.monotonic()
        self._shop = Shop(means, self._loop)

    @property
    def findings(self) -> list[str]:
        return self._matrix.findings

    def run(self) -> bool:
        """Whether nothing was found. Whatever happens, nothing that was started is left running."""
        shop = self._shop
        try:
            self._say("starting the system")
            shop.start()
            shop.recovered()
            self._endure()
            self._judge()
        except (NotRecovered, AssertionError) as error:
            if not self.findings:
                self._matrix.find("failed", f"the run was given up: {error}")
        except BaseException:
            shop.stop()
            shop.discard()
            raise
        shop.stop()
        self._loop.close()
        self._summarise()
        if self.findings:
            self._keep()
        else:
            shop.discard()
        return not self.findings

    def _endure(self) -> None:
        shop = self._shop
        rabbitmq = shop.environment["STOCKROOM_RABBITMQ_URL"]
        load = Load(shop.command_urls, shop.query_urls, rabbitmq, self._record, self._seed)
        self._loop.run(load.start())
        try:
            self._began = time.monotonic()
            for strike in self._strikes():
                self._strike(strike)
                load.check()
                time.sleep(self._random.uniform(0.2, 1.5))
        except BaseException:
            self._loop.run(load.stop(0))
            raise
        late = self._loop.run(load.stop(QUIET_SECONDS), QUIET_SECONDS + 60)
        if late:
            self._matrix.find("failed", f"{late} clients got no answer for {QUIET_SECONDS} seconds", AFTERWARDS)

    def _strikes(self) -> Iterator[list[Fault]]:
        """Some faults at a time: every fault once in random order, and so on until the time is over."""
        rounds = 0
        while rounds == 0 or time.monotonic() < self._began + self._seconds:
            left = self._random.sample(self._faults, len(self._faults))
            while left and (rounds == 0 or time.monotonic() < self._began + self._seconds):
                yield self._take(left)
            rounds += 1

    def _take(self, left: list[Fault]) -> list[Fault]:
        """The next fault, often with others on top of it; a scene that must be watched alone comes alone."""
        strike = [left.pop()]
        most = self._random.choices((1, 2, 3), AT_ONCE_WHEN_SHORT if self._seconds == 0 else AT_ONCE)[0]
        while left and len(strike) < most and not (strike[0].is_alone or left[-1].is_alone):
            strike.append(left.pop())
        return strike

    def _strike(self, strike: list[Fault]) -> None:
        began = time.monotonic()
        done = []
        with ExitStack() as stack:
            try:
                for fault in strike:
                    stack.enter_context(self._matrix.during(fault.name, is_excuse=fault.is_excuse))
                    try:
                        done.append(f"{fault.name} ({fault.inject(self._shop, self._random)})")
                    except Skipped as why:
                        self._matrix.skip(fault.name, f"skipped: {why}")
                self._shop.recovered()
            except (NotRecovered, AssertionError) as error:
                self._matrix.find("failed", f"the run was given up: {error}")
                raise
        if done:
            seconds = time.monotonic() - began
            record = self._record
            counts = f"{len(record.sent)} commands, {record.reads} reads, {len(self.findings)} findings"
            self._say(f"{' and '.join(done)}: all well after {seconds:.1f} s; {counts}")

    def _judge(self) -> None:
        shop, matrix = self._shop, self._matrix
        self._say("the load has ended; waiting until all is quiet")
        shop.recovered()
        deadline = time.monotonic() + QUIET_SECONDS
        held = log.read(shop.servers.postgres.url)
        while (trouble := log_check.unsettled(held)) is not None and time.monotonic() < deadline:
            time.sleep(1)
            held = log.read(shop.servers.postgres.url)
        if trouble is not None:
            matrix.find("lost", f"{trouble}, {QUIET_SECONDS} seconds after the end", AFTERWARDS)
        self._say(f"checking {len(held.events)} events and {len(held.receipts)} receipts")
        log_check.check(held, self._record, frozenset(poison.STREAMS))
        read_model_check.check_shown(held, self._record)
        self._check_read_model(held, deadline)
        self._verify()
        for process in shop.processes:
            if not process.is_running():
                matrix.find("failed", f"{process.name} has ended by itself: {process.tail()}", AFTERWARDS)

    def _check_read_model(self, held: log.Log, deadline: float) -> None:
        """Level within the deadline: nothing is changed any more, so it need only come."""
        self._say("comparing the read model with the log")
        while found := read_model_check.differences(self._shop.query, held):
            if time.monotonic() > deadline:
                break
            time.sleep(1)
        for each in found[:SHOWN_FINDINGS]:
            self._matrix.find("lost", each[:2000], AFTERWARDS)

    def _verify(self) -> None:
        if not rebuilds.knows(self._shop, "verify"):
            return self._say("there is no `projector verify` yet")
        done = self._shop.run("projector", "verify")
        if done.returncode != 0:
            self._matrix.find(
                "lost", f"`projector verify` says {done.stdout[-2000:]} {done.stderr[-2000:]}", AFTERWARDS
            )
        return None

    def _say(self, what: str) -> None:
        passed = time.monotonic() - self._began
        self._tell(f"[{passed:4.0f} s, {max(0.0, self._seconds - passed):4.0f} s left] {what}")

    def _summarise(self) -> None:
        record = self._record
        self._tell(f"\n{self._matrix.table()}\n")
        for finding in self.findings[:SHOWN_FINDINGS]:
            self._tell(f"- {finding}")
        if len(self.findings) > SHOWN_FINDINGS:
            self._tell(f"- and {len(self.findings) - SHOWN_FINDINGS} more")
        self._tell(
            f"{len(record.sent)} commands answered ({record.retries} times sent again), {record.reads} reads"
            f" ({record.unavailable} met a fault), {record.checked + len(record.shown)} answers held against what must"
            f" be shown; seed {self._seed}: {'FAILED' if self.findings else 'nothing lost, nothing doubled'}"
        )

    def _keep(self) -> None:
        (self._shop.folder / "findings.txt").write_text("\n".join(self.findings))
        self._tell(f"Logs, findings and data are kept in {self._shop.home}")
