"""Reading ahead: a thread that empties the socket while the user is busy, up to a limit of bytes."""

from __future__ import annotations

import threading
from collections import deque
from typing import Protocol

from kvsfast._native.chunked import ReceiveBuffer
from kvsfast.errors import TransportTimeout

_WINDOW = 64 * 1024  # bytes a receive, at most


class Source(Protocol):
    """Where media bytes come from."""

    def attach(self, buffer: ReceiveBuffer) -> None:
        """The buffer that ``fill`` is to write to. Called once, before the first ``fill``."""

    def fill(self) -> bool:
        """Wait for bytes and commit them. False: the body ended cleanly, now or before."""

    def shutdown(self) -> None:
        """Wake a ``fill`` that waits in another thread."""

    def close(self) -> None:
        """Give everything back. Idempotent; no ``fill`` is running."""


class ReadAhead:
    """A source over another one, which is read by a thread of its own.

    ``limit``: bytes held between the two at most. When so many wait, the thread stops receiving, and the
    sender notices (TCP flow control).
    """

    def __init__(self, source: Source, limit: int) -> None:
        self._source = source
        self._limit = limit
        self._window = max(1, min(limit // 2, _WINDOW))  # so that one piece waits while another comes
        self._changed = threading.Condition()
        self._pieces: deque[bytes] = deque()
        self._held = 0
        self._timeout: TransportTimeout | None = None
        self._failure: BaseException | None = None
        self._is_over = False
        self._is_closing = False
        self._thread: threading.Thread | None = None

    @property
    def held(self) -> int:
        """Bytes that were received and not asked for yet."""
        return self._held

    def attach(self, buffer: ReceiveBuffer) -> None:
        self._buffer = buffer
        ahead = ReceiveBuffer(window=self._window)
        self._source.attach(ahead)
        self._thread = threading.Thread(
            target=self._run, args=(ahead,), name="kvsfast-read-ahead", daemon=True
        )
        self._thread.start()

    def _run(self, ahead: ReceiveBuffer) -> None:
        while self._may_go_on():
            timeout: TransportTimeout | None = None
            failure: BaseException | None = None
            more = True
            try:
                more = self._source.fill()
            except TransportTimeout as error:
                timeout, failure = (error, None) if error.retryable else (None, error)
            except BaseException as error:
                failure = error
            piece = ahead.take(ahead.readable)
            with self._changed:
                if piece:
                    self._pieces.append(piece)
                    self._held += len(piece)
                self._timeout, self._failure = timeout, failure
                self._is_over = failure is not None or not more
                self._changed.notify_all()

    def _may_go_on(self) -> bool:
        with self._changed:
            while self._held + self._window > self._limit and not self._is_closing:
                self._changed.wait()
            return not self._is_closing and not self._is_over

    def fill(self) -> bool:
        with self._changed:
            while not self._pieces:
                if self._failure is not None:
                    raise self._failure
                if self._is_over or self._is_closing:
                    return False
                if self._timeout is not None:
                    timeout, self._timeout = self._timeout, None
                    raise timeout
                self._changed.wait()
            piece = self._pieces.popleft()
        # Held until it is in the buffer; the parser's window may be smaller than ours.
        rest = memoryview(piece)
        with memoryview(self._buffer) as window:
            size = min(len(window), len(rest))
            window[:size] = rest[:size]
        self._buffer.commit(size)
        with self._changed:
            if size < len(rest):
                self._pieces.appendleft(bytes(rest[size:]))
            self._held -= size
            self._changed.notify_all()
        return True

    def shutdown(self) -> None:
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        self._source.shutdown()

    def close(self) -> None:
        self.shutdown()
        if self._thread is not None:
            self._thread.join()
        self._source.close()
