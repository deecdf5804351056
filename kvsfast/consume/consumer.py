"""``client.consume``: the blocking face of a session."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from kvsfast._native.delivery import LOOK, Delivery, DeliveryIterator
from kvsfast.consume.driver import BlockingDriver, Driver
from kvsfast.consume.events import SessionEvent
from kvsfast.consume.faces import SessionFace
from kvsfast.consume.session import Session, SessionEnd
from kvsfast.errors import KvsFastError, StreamClosed, TransportTimeout, UsageError
from kvsfast.steps import drive

if TYPE_CHECKING:
    from kvsfast._native.fragments import Fragment
    from kvsfast._native.frames import FragmentEnd, FragmentStart, Frame, LateTags
    from kvsfast.stream import MediaStream

__all__ = ["Consumer"]


class Consumer(SessionFace):
    """A stream, read for ever: nothing lost, nothing twice, over ended responses, faults and restarts.

    Iterating gives whole fragments; ``frames()`` gives each frame when its last byte has arrived,
    ``events()`` everything that happens, a :data:`kvsfast.SessionEvent` among it. The first of the three
    fixes the mode. One thread iterates; ``commit``, ``stats`` and ``close`` may be used by any. Leaving
    ``with`` closes.

    Iterating raises ResumeFailed where the session gave up, the cause itself where calling again is of no use
    (access denied, no such stream, a KMS key that is refused), LeaseLost where another owner took the
    checkpoint over. It ends without an error when ``until`` is reached or ``close`` was called: ``end``
    says which.
    """

    def __init__(
        self, session: Session, *, driver: Driver | None = None, on_close: Callable[[], None] = lambda: None
    ) -> None:
        self._session = session
        self._driver = driver or BlockingDriver()
        self._on_close = on_close
        self._delivery: Delivery | None = None
        self._iterator: DeliveryIterator | None = None
        self._media: MediaStream | None = None
        self._busy = threading.Lock()
        self._is_closed = False
        self._is_handed_over = False
        self._on_interrupt: Callable[[], None] = lambda: None

    # -- the three ways of reading

    def __iter__(self) -> Iterator[Fragment]:
        return self._iterate("fragments")

    def frames(self) -> Iterator[Frame]:
        """Each frame as soon as it is there. When a fragment that was cut comes again, those of its frames
        that were given are passed over."""
        return self._iterate("frames")

    def events(self) -> Iterator[FragmentStart | Frame | FragmentEnd | LateTags | SessionEvent]:
        """FragmentStart, Frame, FragmentEnd and LateTags, and what the session has to tell. A fragment has
        one FragmentStart and one FragmentEnd, however often it was fetched."""
        return self._iterate("events")

    def _iterate(self, mode: str) -> Iterator[Any]:
        if self._is_handed_over:
            raise UsageError("the consumer belongs to a group, which iterates it")
        if self._delivery is None or self._iterator is None:
            self._delivery = self._session.begin(mode)
            self._iterator = DeliveryIterator(self._delivery, self._receive, self._turn)
        elif self._delivery.mode != mode:
            raise UsageError(
                f"the consumer is being read by {self._delivery.mode}; it cannot be read by {mode} as well"
            )
        return self._iterator

    def hand_over(self, on_close: Callable[[], None]) -> Session:
        """The session, for a loop over many streams (``consume_many``), which iterates it from now on, and
        calls ``clean_up`` in the end. ``on_close`` is called by ``close``. UsageError: it is iterated
        already, or closed."""
        if self._delivery is not None or self._is_handed_over or self._is_closed:
            raise UsageError(f"{self!r} is read already, or closed; give each consumer to one reader")
        self._is_handed_over = True
        self._on_interrupt = on_close
        return self._session

    # -- progress

    def commit(self, what: Fragment | FragmentEnd | FragmentStart | Frame | None = None) -> None:
        """Save in the checkpoint that ``what`` and all before it is dealt with. Durable when this returns.

        ``what``: a fragment or its end, or a frame or start of a fragment that has ended. None: all fragments
        of which everything was given. UsageError: there is no checkpoint, or the fragment has not ended.
        CheckpointError: it could not be saved. LeaseLost: the stream has another owner, and this is over.
        """
        drive(self._session.commit(what))

    # -- lifecycle

    def close(self) -> None:
        """End it, and give connection and checkpoint back. From any thread: who waits for media stops at
        once, and the loop ends. Idempotent."""
        self._session.interrupt()
        self._driver.stop()
        if self._is_handed_over:
            self._on_interrupt()
            return
        # Whoever iterates cleans up on its way out.
        if self._busy.acquire(blocking=False):
            try:
                self.clean_up()
            finally:
                self._busy.release()

    def clean_up(self) -> None:
        """Give everything back; for whoever iterates."""
        if not self._is_closed:
            self._is_closed = True
            self._media = None  # it would hold receive memory for as long as somebody keeps the consumer
            drive(self._session.close())
            self._on_close()

    def __enter__(self) -> Self:
        if self._is_closed:
            raise UsageError("the consumer is closed")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = self.end or "open"
        return f"<Consumer of {self._session.stream!r}, {state}>"

    # -- where the loop cannot go on by itself

    def _turn(self, status: int, error: KvsFastError | None) -> Any:
        """An event to give, or None to go on; StopIteration at the end."""
        if not self._busy.acquire(blocking=False):
            if self._session.end is not SessionEnd.CLOSED:
                raise UsageError("the consumer is being read by another thread; it serves one at a time")
            self._busy.acquire()  # whoever closes it is about to be done
        try:
            return self._advance(status, error)
        finally:
            self._busy.release()
            if self._session.end is SessionEnd.CLOSED:
                self.close()

    def _advance(self, status: int, error: KvsFastError | None) -> Any:
        session = self._session
        if status == LOOK and error is None:
            event = session.look()
            if event is not None:
                return event
            if self._holds_item():
                return None
            drive(session.settle())
            if not session.leaves:
                return None
        if self._media is not None:
            self._media = None
            session.ended(error)
        elif error is not None and not (isinstance(error, StreamClosed) and session.is_over):
            raise error
        return self._connect()

    def _holds_item(self) -> bool:
        return self._delivery is not None and self._delivery.holds

    def _receive(self) -> KvsFastError | None:
        """One receive. Returns what ends the response, if something does."""
        session, media, delivery = self._session, self._media, self._delivery
        assert media is not None and delivery is not None
        session.wait_begins()
        try:
            delivery.fill(media.receive)
        except TransportTimeout as error:
            return None if session.timed_out(error) else error
        except UsageError:
            raise
        except KvsFastError as error:
            return error
        session.wait_ends()
        return None

    def _connect(self) -> SessionEvent | None:
        """The next response, or an event that comes before it."""
        session = self._session
        while not session.notices:
            if session.is_over and session.failure is None:
                raise StopIteration
            try:
                self._media = self._driver.run(session.connect())
            except StreamClosed:
                if session.end is not SessionEnd.CLOSED:
                    raise
            if self._media is not None:
                return None
        return session.notices.popleft()
