"""A service without sockets and a clock that is moved by hand: hours of a session in milliseconds.

The media is real bytes, read by the real parser; only the wire, the call and the waiting are played.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any, TypeVar

from kvsfast import Consumer, KvsFastError, SessionOptions, StandardResume, StartSelector, TransportTimeout
from kvsfast._native.chunked import ReceiveBuffer
from kvsfast.consume.checkpoint import CheckpointStore
from kvsfast.consume.session import Session
from kvsfast.model import StartSelectorType
from kvsfast.steps import Pause, Step, Steps, Turn, Work, go_through
from kvsfast.stream import MediaStream
from tests.mkv_writer import Block, error_document, fragment_number, service_fragment

Result = TypeVar("Result")
EPOCH = datetime(2026, 1, 1, 12, tzinfo=UTC)
EPOCH_MS = int(EPOCH.timestamp() * 1000)


@dataclass
class FakeClock:
    """Seconds, moved by who waits."""

    now: float = 1000.0
    pauses: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


class FakeDriver:
    """Goes through steps, and moves the clock where they wait."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock

    def run(self, steps: Steps[Result]) -> Result:
        return go_through(steps, self._perform)

    def stop(self) -> None:
        pass

    def _perform(self, step: Step) -> Any:
        if isinstance(step, Pause):
            self.clock.pauses.append(step.seconds)
            self.clock.pass_by(step.seconds)
            return None
        if isinstance(step, Turn):
            return step.future.result()
        return step.run()


@dataclass(frozen=True)
class Stored:
    """A fragment of the stream: its bytes, and what it is found by."""

    number: str
    server_ms: int
    producer_ms: int
    frames: tuple[bytes, ...]
    media: bytes


def stored(
    sequence: int,
    *,
    at: float | None = None,
    frames: int = 3,
    behind: int = 1500,
    producer_ms: int | None = None,
    fill: int = 0,
    size: int = 40,
) -> Stored:
    """Fragment ``sequence``, received by the service ``at`` seconds after EPOCH (as many by default)."""
    server_ms = EPOCH_MS + round(1000 * (sequence if at is None else at))
    number = fragment_number(sequence, server_ms)
    payloads = tuple(
        f"{sequence}/{index}/{fill}".encode().ljust(size + 7 * index, b".") for index in range(frames)
    )
    producer = server_ms - 250 if producer_ms is None else producer_ms
    media = service_fragment(
        number,
        server_ms=server_ms,
        producer_ms=producer,
        token=number,
        behind=behind,
        frames=[Block(data, 40 * n, 1 + n % 2, n == 0) for n, data in enumerate(payloads)],
    )
    return Stored(number, server_ms, producer, payloads, media)


#: What a response does behind its fragments, or at a byte: an error, or seconds of silence (inf: for ever).
Fault = KvsFastError | float


@dataclass
class Reply:
    """One call's answer: an error instead of a response, or how its media is sent.

    ``most``: fragments at most. ``cut``: after so many bytes of the media the ``fault`` happens (None: the
    body ends cleanly there). ``piece``: bytes a receive. ``media``: these bytes instead of the stream's.
    ``again``: so many fragments before the asked one come once more.
    """

    error: KvsFastError | None = None
    most: int | None = None
    cut: int | None = None
    fault: Fault | None = None
    piece: int = 200
    media: bytes | None = None
    date: bool = True
    again: int = 0


class FakeBody:
    """The source of a response."""

    def __init__(
        self, service: FakeService, media: bytes, reply: Reply, idle_timeout: float, deadline: float
    ):
        self.service = service
        self.media = memoryview(media)[: reply.cut]
        self.reply = reply
        self.idle_timeout = idle_timeout
        self.ends_at = service.clock.now + deadline
        self.silence = reply.fault if isinstance(reply.fault, float) else 0.0
        self.is_closed = False
        service.open_bodies.add(self)

    def attach(self, buffer: ReceiveBuffer) -> None:
        self.buffer = buffer

    def fill(self) -> bool:
        if self.media:
            with memoryview(self.buffer) as window:
                size = min(len(window), len(self.media), self.reply.piece)
                window[:size] = self.media[:size]
            self.buffer.commit(size)
            self.media = self.media[size:]
            return True
        if self.silence > 0:
            return self._stay_silent()
        if isinstance(self.reply.fault, KvsFastError):
            raise copy.copy(self.reply.fault)  # the one that tests share would gather tracebacks, and memory
        return False

    def _stay_silent(self) -> bool:
        clock = self.service.clock
        wait = min(self.silence, self.idle_timeout, self.ends_at - clock.now)
        self.silence -= wait
        clock.pass_by(wait)
        if clock.now >= self.ends_at:
            raise TransportTimeout("the deadline passed", retryable=False)
        if self.silence > 0:
            raise TransportTimeout("no media")
        return self.fill()

    def shutdown(self) -> None:
        pass

    def close(self) -> None:
        self.is_closed = True
        self.service.open_bodies.discard(self)


class FakeService:
    """A stream that holds ``fragments``, and answers calls as ``replies`` say; then with all there is.

    Every call is checked: the body of the one before must be closed. ``knows_what_it_lacks``: a fragment that
    it does not hold cannot be gone on from, and it says so in the media.
    """

    knows_what_it_lacks = False

    def __init__(
        self, fragments: Iterable[Stored] = (), *replies: Reply, clock: FakeClock | None = None
    ) -> None:
        self.clock = clock or FakeClock()
        self.started = self.clock.now
        self.fragments = list(fragments)
        self.replies = deque(replies)
        self.default = Reply()
        self.asked: list[StartSelector] = []
        self.called_at: list[float] = []
        self.forgotten = 0
        self.open_bodies: set[FakeBody] = set()
        self.on_call: Callable[[], None] = lambda: None

    def now(self) -> datetime:
        """The service's clock."""
        return EPOCH + timedelta(seconds=self.clock.now - self.started)

    def date_header(self) -> str:
        return format_datetime(self.now().replace(microsecond=0), usegmt=True)

    def forget_endpoint(self) -> None:
        self.forgotten += 1

    def open(self, start: StartSelector, idle_timeout: float, deadline: float) -> Steps[MediaStream]:
        media: MediaStream = yield Work(lambda: self._call(start, idle_timeout, deadline))
        return media

    def _call(self, start: StartSelector, idle_timeout: float, deadline: float) -> MediaStream:
        assert not self.open_bodies, "the body of the last call is open"
        self.asked.append(start)
        self.called_at.append(self.clock.now)
        self.on_call()
        reply = self.replies.popleft() if self.replies else self.default
        if reply.error is not None:
            raise reply.error
        found = self.found(start)
        first = len(self.fragments) - len(found)
        found = [*self.fragments[max(0, first - reply.again) : first], *found][: reply.most]
        media = b"".join(each.media for each in found) if reply.media is None else reply.media
        number = start.fragment_number or start.token
        if self.knows_what_it_lacks and number and number not in {each.number for each in self.fragments}:
            media = error_document("FRAGMENT_NOT_FOUND", 4000, number)
        headers = {"date": self.date_header()} if reply.date else {}
        return MediaStream(
            FakeBody(self, media, reply, idle_timeout, deadline),
            {"HTTPHeaders": headers, "RequestId": str(len(self.asked)), "Endpoint": "fake"},
        )

    def found(self, start: StartSelector) -> list[Stored]:
        """What lies behind a start."""
        match start.type:
            case StartSelectorType.EARLIEST:
                return self.fragments
            case StartSelectorType.NOW:
                return self.fragments[-1:]
            case StartSelectorType.SERVER_TIMESTAMP:
                assert start.timestamp is not None
                ms = int(start.timestamp.timestamp() * 1000)
                return [each for each in self.fragments if each.server_ms >= ms]
            case StartSelectorType.PRODUCER_TIMESTAMP:
                assert start.timestamp is not None
                ms = int(start.timestamp.timestamp() * 1000)
                return [each for each in self.fragments if each.producer_ms >= ms]
        number = int(start.fragment_number or start.token or 0)
        return [each for each in self.fragments if int(each.number) > number]

    def consumer(
        self,
        start: StartSelector | None = None,
        *,
        store: CheckpointStore | None = None,
        stall_after: float = 60.0,
        **options: Any,
    ) -> Consumer:
        """A consumer of this service, whose backoff knows no chance."""
        options.setdefault("resume", StandardResume(uniform=lambda low, high: high))
        session = Session(
            "door",
            start or StartSelector.earliest(),
            open=self.open,
            forget_endpoint=self.forget_endpoint,
            options=SessionOptions(**options),
            store=store,
            stall_after=stall_after,
            clock=self.clock,
        )
        return Consumer(session, driver=FakeDriver(self.clock))
