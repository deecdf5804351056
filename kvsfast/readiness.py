"""Reading without waiting: for loops that look after many sockets, asyncio's and our own.

Where a blocking source would wait, this one raises BlockingIOError, which the compiled iterators let pass
and lose nothing by. Then ``begin_turn`` says whether it is only the turn of others, or whether the descriptor
has to become readable first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from kvsfast._native.chunked import ReceiveBuffer
    from kvsfast._native.delivery import Delivery
    from kvsfast._native.intake import Intake, Turnstile
    from kvsfast.errors import TransportTimeout

#: Receives in a row before others get their turn: of at most 128 KiB each with TLS, else 256.
TURN = 16


class Body(Protocol):
    """A source on a socket (:class:`kvsfast.stream.HttpBody`)."""

    before_close: Callable[[], None]

    def attach(self, buffer: ReceiveBuffer) -> None: ...
    def fill(self) -> bool: ...
    def shutdown(self) -> None: ...
    def close(self) -> None: ...
    def never_wait(self) -> None: ...
    def fileno(self) -> int: ...
    def intake(
        self,
        turnstile: Turnstile,
        delivery: Delivery,
        *,
        receives: int,
        wait_begins: Callable[[], None],
        wait_ends: Callable[[], None],
    ) -> Intake: ...
    @property
    def patience(self) -> float: ...
    def patient_until(self, now: float) -> float: ...
    def timed_out(self) -> TransportTimeout: ...


class TurnSource:
    """A body that fills a few times in a row, and then wants to be asked again."""

    def __init__(self, body: Body, turnstile: Turnstile) -> None:
        self._body = body
        self._turnstile = turnstile
        #: As of the body: when a wait that begins at a time of ``time.monotonic`` has taken too long.
        self.patient_until = body.patient_until
        self._left = TURN
        body.never_wait()

    def on_close(self, call: Callable[[], None]) -> None:
        """Have ``call()`` called while the descriptor still is the connection's. It must not refer to what
        refers to this source, so that a dropped stream is noticed."""
        self._body.before_close = call

    def attach(self, buffer: ReceiveBuffer) -> None:
        """The buffer that ``fill`` is to write to."""
        self._body.attach(buffer)

    def fill(self) -> bool:
        """Receive what is there. False: the body is over. BlockingIOError: nothing is, or it is the turn of
        others."""
        if self._left == 0:
            raise BlockingIOError("it is the turn of others")
        self._left -= 1
        return self._body.fill()

    def intake(
        self, delivery: Delivery, *, wait_begins: Callable[[], None], wait_ends: Callable[[], None]
    ) -> Intake:
        """The short way from the socket to the items of ``delivery``, which walks this stream."""
        return self._body.intake(
            self._turnstile, delivery, receives=TURN, wait_begins=wait_begins, wait_ends=wait_ends
        )

    def begin_turn(self) -> bool:
        """After a BlockingIOError: fill again. True: at once, when others had their turn. False: when the
        descriptor is readable."""
        turn_is_over, self._left = self._left == 0, TURN
        return turn_is_over

    def fileno(self) -> int:
        """The descriptor to be waited for."""
        return self._body.fileno()

    @property
    def patience(self) -> float:
        """How long to wait for it, in seconds from now."""
        return self._body.patience

    def timed_out(self) -> TransportTimeout:
        """What a wait that took all of ``patience`` ends with."""
        return self._body.timed_out()

    def shutdown(self) -> None:
        """Wake whoever waits for the descriptor."""
        self._body.shutdown()

    def close(self) -> None:
        """Give the connection back. Idempotent."""
        self._body.close()
