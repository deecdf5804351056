"""The process that harm comes from: local services, and for each session a stream and a fault proxy.

It is asked over a Unix socket, by one message and one answer at a time from each worker.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

from kvsfast.emulator import Emulator, RandomFaults
from kvsfast.emulator.faults import BodyFault
from tests.fault_proxy import FaultProxy, Planned, random_fault
from tests.torture import media
from tests.torture.plan import Plan
from tests.wire import authority

SPAWN = multiprocessing.get_context("spawn")
#: Seconds of what only takes time.
LONGEST_STALL = 0.05
#: Of requests that meet a fault of the service itself, where a proxy does the rest.
SHARE_OF_SERVICE = 0.1
#: For connections to be gone after a session.
PATIENCE = 60.0


@dataclass
class Opened:
    """What a worker has to know of its session. ``options``: of the client."""

    options: dict[str, Any]


@dataclass
class Closed:
    """What a session met: faults by kind. ``planned``: those of the service in the middle of a body, which
    may not have been reached and are not counted. ``leaked``: connections that were still open."""

    struck: Counter[str] = field(default_factory=Counter)
    planned: int = 0
    leaked: int = 0


class CountedFaults(RandomFaults):
    """Counts what it decided upon."""

    def __init__(self, seed: str, share: float) -> None:
        number = random.Random(seed).randrange(1 << 32)
        super().__init__(
            number, share, longest_stall=LONGEST_STALL, operations=("GetMedia", "GetDataEndpoint")
        )
        self.struck: Counter[str] = Counter()
        self.in_bodies = 0

    def decide(self, stream: str, operation: Any) -> Any:
        fault = super().decide(stream, operation)
        if isinstance(fault, BodyFault):
            self.in_bodies += 1
        elif fault is not None:
            self.struck[type(fault).__name__] += 1
        return fault


class _Session:
    """One stream, its faults and its proxy."""

    def __init__(self, plan: Plan, service: Emulator) -> None:
        self.plan = plan
        self.service = service
        share = plan.share if plan.transport == "direct" else SHARE_OF_SERVICE
        self.faults = CountedFaults(plan.seed, share)
        total = plan.count + 1
        service.create_stream(plan.name, media.document(plan.stream, 0, plan.stored))
        service.configure(plan.name, faults=self.faults, limits=plan.limits)
        self.proxy: FaultProxy | None = None
        if plan.transport != "direct":
            tls = authority().server_context() if plan.transport == "tls" else None
            self.proxy = FaultProxy(service.media_endpoint_url, tls=tls, invent=self._inventor())
            self.proxy.__enter__()
        self._is_over = threading.Event()
        self._producer = threading.Thread(target=self._produce, args=(plan.stored, total))
        self._producer.start()

    def _inventor(self) -> Callable[[], Planned]:
        dice, plan = random.Random(f"{self.plan.seed}/proxy"), self.plan

        def invent() -> Planned:
            if dice.random() >= plan.share:
                return None
            return random_fault(
                dice, tls=plan.transport == "tls", sealed=plan.transport == "sealed", longest=LONGEST_STALL
            )

        return invent

    def _produce(self, first: int, last: int) -> None:
        with self.service.producer(self.plan.name) as producer:
            for index in range(first, last):
                if self._is_over.wait(self.plan.pause):
                    return
                producer.send(media.document(self.plan.stream, index, index + 1))

    @property
    def struck(self) -> Counter[str]:
        return self.faults.struck + (self.proxy.struck if self.proxy else Counter())

    def close(self) -> Closed:
        """The client is gone; nothing of it may be left."""
        until = time.monotonic() + PATIENCE
        while self._open_connections() and time.monotonic() < until:
            time.sleep(0.01)
        closed = Closed(self.struck, self.faults.in_bodies, self._open_connections())
        self._is_over.set()
        self._producer.join()
        if self.proxy is not None:
            self.proxy.__exit__(None, None, None)
        self.service.delete_stream(self.plan.name)
        return closed

    def _open_connections(self) -> int:
        of_proxy = self.proxy.open_connections if self.proxy else 0
        return of_proxy + self.service.open_connections(self.plan.name)


class _House:
    def __init__(self, goal: int, until: float, plain: Emulator, secure: Emulator, bundle: str) -> None:
        self._goal = goal
        self._until = until
        self._services = {"tcp": plain, "tls": plain, "sealed": secure, "direct": secure}
        self._secure = secure
        self._bundle = bundle
        self._numbers = itertools.count(1)
        self._sessions: dict[str, _Session] = {}
        self._done: Counter[str] = Counter()
        self._lock = threading.Lock()

    def number(self) -> int | None:
        """Of the next session; None: there were faults enough, or time is over."""
        if self.faults() >= self._goal or time.time() >= self._until:
            return None
        with self._lock:
            return next(self._numbers)

    def open(self, plan: Plan) -> Opened:
        session = _Session(plan, self._services[plan.transport])
        with self._lock:
            self._sessions[plan.name] = session
        options = {**self._secure.client_options(), "verify": self._bundle}
        if session.proxy is not None:
            options["media_endpoint_url"] = session.proxy.url
        return Opened(options)

    def close(self, name: str) -> Closed:
        closed = self._sessions[name].close()
        with self._lock:
            del self._sessions[name]
            self._done += closed.struck
        return closed

    def killed(self) -> None:
        """A SIGKILL is a fault as well."""
        with self._lock:
            self._done["SIGKILL"] += 1

    def faults(self) -> int:
        """So far."""
        with self._lock:
            going_on = list(self._sessions.values())
            done = self._done.total()
        return done + sum(session.struck.total() for session in going_on)


def _serve(address: str, goal: int, until: float, bundle: Path) -> None:
    with (
        Emulator({}, limits=False, opaque_tokens=True) as plain,
        Emulator({}, limits=False, tls=True) as secure,
        Listener(address, "AF_UNIX") as listener,
    ):
        certificates = [Path(authority().bundle), Path(secure.ca_certificate_path or "")]
        bundle.write_text("".join(each.read_text() for each in certificates))
        house = _House(goal, until, plain, secure, str(bundle))
        while True:
            connection = listener.accept()
            threading.Thread(target=_answer, args=(house, connection), daemon=True).start()


def _answer(house: _House, connection: Connection) -> None:
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            what, *arguments = connection.recv()
            connection.send(getattr(house, what)(*arguments))


class House:
    """A worker's way to it; one for each thread."""

    def __init__(self, address: str) -> None:
        self._connection = Client(address, "AF_UNIX")

    def number(self) -> int | None:
        return self._ask("number")  # type: ignore[no-any-return]

    def open(self, plan: Plan) -> Opened:
        return self._ask("open", plan)  # type: ignore[no-any-return]

    def close_session(self, name: str) -> Closed:
        return self._ask("close", name)  # type: ignore[no-any-return]

    def killed(self) -> None:
        self._ask("killed")

    def faults(self) -> int:
        return self._ask("faults")  # type: ignore[no-any-return]

    def leave(self) -> None:
        self._connection.close()

    def _ask(self, *message: Any) -> Any:
        self._connection.send(message)
        return self._connection.recv()


@contextlib.contextmanager
def house(folder: Path, goal: int, seconds: float) -> Iterator[str]:
    """A house for ``goal`` faults or ``seconds``; the address where it is asked."""
    address = str(folder / "house")
    process = SPAWN.Process(
        target=_serve, args=(address, goal, time.time() + seconds, folder / "certificates.pem")
    )
    process.start()
    try:
        while not Path(address).exists() or not (folder / "certificates.pem").exists():
            assert process.is_alive(), "the house has fallen"
            time.sleep(0.02)
        yield address
    finally:
        process.kill()
        process.join()
        process.close()
