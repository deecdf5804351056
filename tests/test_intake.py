"""The short way of one response among many: real sockets, TLS and framing, and every way out of it."""

from __future__ import annotations

import contextlib
import gc
import os
import queue
import select
import ssl
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest

from kvsfast import Frame, MediaStream
from kvsfast._native.delivery import DATA, ITEM, LOOK, OVER, Delivery
from kvsfast._native.intake import TURN, WAIT, Intake, MergedIterator, Seat, Turnstile
from kvsfast._native.selection import Selection
from kvsfast.errors import StreamClosed, TransportError, TruncatedMedia, UsageError
from kvsfast.memory import memory_stats
from tests.native.test_delivery import Gate
from tests.test_stream import FIRST, FRAMES, SECOND, chunked, media_of, tls
from tests.wire import CHUNKED_HEAD, HANG, LAST_CHUNK, Peer

__all__ = ["tls"]  # a fixture


class Rig:
    """A response that is read the short way. ``send`` has the server send, None: close, "reset": reset."""

    def __init__(self, media: MediaStream, pieces: queue.Queue[bytes | str | None], mode: str) -> None:
        self.media = media
        self.pieces = pieces
        self.told: list[str] = []
        self.delivery = Delivery(Gate(), mode, Selection(), 1000)
        self.source = media.never_wait()
        self.delivery.use(media.parser(mode))
        self.intake: Intake = self.source.intake(
            self.delivery,
            wait_begins=lambda: self.told.append("begins"),
            wait_ends=lambda: self.told.append("ends"),
        )

    def send(self, piece: bytes | str | None) -> None:
        self.pieces.put(piece)

    def readable(self) -> None:
        poll = select.poll()
        poll.register(self.source.fileno(), select.POLLIN)
        assert poll.poll(HANG * 1000), "nothing came"

    def go(self, *ends: int) -> list[Any]:
        """Items, up to a status of those named. What lies between is waited for, or fetched the long way."""
        found: list[Any] = []
        self.found = found
        while True:
            status = self.intake.step()
            if status == ITEM:
                item = self.intake.take()
                found.append(bytes(item) if isinstance(item, Frame) else item)
            elif status in ends:
                return found
            elif status == LOOK:
                self.delivery.look = False
            elif status == WAIT:
                self.readable()
            elif status == DATA:
                self.long_way()
            else:
                assert status == TURN

    def long_way(self) -> None:
        self.delivery.fill(self.media.receive)


@contextlib.contextmanager
def rig(*, tls: ssl.SSLContext | None = None, mode: str = "frames") -> Iterator[Rig]:
    pieces: queue.Queue[bytes | str | None] = queue.Queue()

    def script(peer: Peer) -> None:
        peer.send(CHUNKED_HEAD)
        while isinstance(piece := pieces.get(timeout=HANG), bytes):
            with contextlib.suppress(ConnectionError):  # who has seen enough closes
                peer.send(piece)
        if piece == "reset":
            peer.reset()
        elif piece == "stay":
            peer.until_closed()

    with media_of(script, tls=tls) as media:
        rig = Rig(media, pieces, mode)
        try:
            yield rig
        finally:
            rig.send(None)


BODY = chunked(FIRST + SECOND)
#: What is kept of a stream that waits is 4 KiB; a block that was there already may be four times as large.
MOST_OF_A_FREE_BLOCK = 16 * 1024
PAYLOADS = [*FRAMES, b"last"]


@pytest.mark.parametrize("size", [700, 20_000, len(BODY)])
def test_every_frame_comes_whatever_a_receive_brings(tls: ssl.SSLContext | None, size: int) -> None:
    with rig(tls=tls) as one:
        for at in range(0, len(BODY), size):
            one.send(BODY[at : at + size])
        one.send(LAST_CHUNK)
        assert one.go(DATA) == PAYLOADS
        assert "ends" in one.told
        one.long_way()
        assert one.go(OVER) == []


def test_fragments_come_whole(tls: ssl.SSLContext | None) -> None:
    with rig(tls=tls, mode="fragments") as one:
        one.send(BODY)
        one.send(None)
        found = one.go(DATA)
        assert [[bytes(frame) for frame in each.frames] for each in found] == [FRAMES, [b"last"]]


def test_where_nothing_is_there_memory_is_given_back_and_the_wait_begins() -> None:
    gc.collect()
    in_use, slabs, _ = memory_stats()
    with rig() as one:
        one.send(BODY[:3000])
        one.readable()
        assert one.intake.step() == WAIT
        assert one.told == ["ends", "begins"]
        assert not one.media.parser("frames").buffer.release()  # the beginning of a frame is there
        assert memory_stats().slabs == slabs + 1 and memory_stats().in_use - in_use <= MOST_OF_A_FREE_BLOCK
        assert one.intake.step() == WAIT  # one who asks too early is told again
        one.send(BODY[3000:])
        one.send(None)
        assert one.go(DATA) == PAYLOADS


def test_others_get_their_turn() -> None:
    with rig() as one:
        quiet: dict[str, Any] = {"wait_begins": lambda: None, "wait_ends": lambda: None}
        one.intake = one.source._body.intake(one.media._turnstile, one.delivery, receives=1, **quiet)
        # More than any window, so that what one receive brings is not all that is there.
        one.send(chunked(FIRST * 80, 60_000))
        while (status := one.intake.step()) != TURN:
            if status == ITEM:
                one.intake.take()
            one.delivery.look = False
            if status == WAIT:
                one.readable()
        assert one.media.receive()


def test_broken_framing_is_told_after_what_was_before_it() -> None:
    with rig() as one:
        one.send(chunked(FIRST) + b"no size\r\n")
        assert one.go(DATA) == FRAMES
        with pytest.raises(TransportError, match="hexadecimal"):
            one.go()


@pytest.mark.parametrize("end", [None, "reset"])
def test_an_end_in_the_middle(tls: ssl.SSLContext | None, end: str | None) -> None:
    with rig(tls=tls) as one:
        one.send(BODY[:60_000])
        assert one.go(WAIT, DATA) is not None
        one.send(end)
        found = one.go(DATA)
        assert found == FRAMES[:2] or found == []
        wanted = "reset" if end == "reset" else "was cut|close_notify"
        with pytest.raises(TransportError, match=wanted):
            one.go()


def test_damaged_media_is_raised_by_the_step() -> None:
    with rig() as one:
        one.send(chunked(FIRST + b"\x00" * 100))
        with pytest.raises(Exception, match="element") as caught:
            one.go()
        assert not isinstance(caught.value, TransportError | TruncatedMedia)


def test_who_is_shut_out_takes_no_byte() -> None:
    with rig() as one:
        one.send(BODY)
        one.readable()
        turnstile = one.media._turnstile
        assert turnstile.enter() and not turnstile.enter()
        assert one.intake.step() == DATA
        with pytest.raises(UsageError, match="another thread"):
            one.long_way()
        turnstile.leave()
        one.media.close()
        assert one.intake.step() == DATA
        with pytest.raises(StreamClosed):
            one.long_way()


def test_a_forked_child_takes_no_byte_of_its_parents() -> None:
    with rig() as one:
        one.send(BODY)
        one.send("stay")
        one.readable()
        child = os.fork()
        if child == 0:
            os._exit(0 if one.intake.step() == DATA else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert one.go(WAIT) == PAYLOADS


def test_an_interrupt_loses_nothing() -> None:
    """By a signal's handler, say, in whatever of it is Python."""
    with rig() as one:
        interrupts = iter(range(2))

        def interrupted() -> None:
            if next(interrupts, None) is not None:
                raise KeyboardInterrupt

        delivery, source = one.delivery, one.source
        one.intake = source.intake(delivery, wait_begins=interrupted, wait_ends=interrupted)
        for at in range(0, len(BODY), 10_000):
            one.send(BODY[at : at + 10_000])
        one.send(LAST_CHUNK)
        found: list[Any] = []
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                one.go(DATA)
            found += one.found
        assert found + one.go(DATA) == PAYLOADS


def test_turnstile() -> None:
    turnstile = Turnstile()
    assert turnstile.enter() and turnstile.is_taken and not turnstile.enter()
    turnstile.leave()
    assert turnstile.enter() and not turnstile.is_shut


class Group:
    """One seat, which goes the long way and is waited for here."""

    def __init__(self, one: Rig, armed: bool) -> None:
        self.one = one
        self.armed = armed
        self.told: list[int | str | None] = []
        self.row: deque[Seat] = deque()
        self.seat = Seat()
        self.seat.data = "a"
        self.seat.intake = one.intake
        self.turnstile = Turnstile()
        self.items = MergedIterator(
            self.row, self.turnstile, go_on=self.go_on, clean_up=lambda: self.told.append("clean")
        )

    def go_on(self, seat: Seat | None, told: Any) -> Any:
        if seat is None:
            if self.seat.waits or not self.told:
                self.one.readable()
            self.seat.waits = False
            self.row.append(self.seat)
            self.items.left = 1
            self.told.append("round")
            return None
        self.told.append(told)
        self.items.seat = None
        if told == WAIT and self.armed:
            seat.armed = seat.intake
        if told == LOOK:
            self.one.delivery.look = False
        if told == DATA:
            raise StopIteration
        return None


@pytest.mark.parametrize("armed", [True, False])
def test_who_may_wait_by_itself_is_not_asked_again(armed: bool) -> None:
    with rig() as one:
        group = Group(one, armed)
        for at in range(0, len(BODY), 20_000):
            one.send(BODY[at : at + 20_000])
        one.send(None)
        assert [(owner, bytes(frame)) for owner, frame in group.items] == [("a", data) for data in PAYLOADS]
        assert group.told.count(WAIT) <= 1 or not armed
        assert group.told[-1] == DATA


def test_a_wait_that_would_be_over_already_is_told() -> None:
    with rig() as one:
        quiet: dict[str, Any] = {"wait_begins": lambda: None, "wait_ends": lambda: None}
        source: Any = one.source
        source._body._deadline = time.monotonic() - 1
        one.intake = source.intake(one.delivery, **quiet)
        group = Group(one, True)
        group.seat.armed = one.intake
        one.send(BODY[:3000])
        one.send("stay")

        def go_on(seat: Seat | None, told: Any) -> Any:
            if seat is not None:
                group.told.append(told)
                raise StopIteration
            return group.go_on(seat, told)

        items = MergedIterator(group.row, group.turnstile, go_on=go_on, clean_up=lambda: None)
        group.items = items
        assert list(items) == [] and group.told == ["round", WAIT]
        assert not group.seat.waits


def test_a_shut_group_gives_nothing_and_is_cleaned_up_once_by_who_leaves() -> None:
    with rig() as one:
        group = Group(one, True)
        one.send(BODY)
        one.send("stay")
        assert next(group.items)[0] == "a"
        assert group.turnstile.enter()
        with pytest.raises(UsageError, match="another thread"):
            next(group.items)
        group.turnstile.leave()
        group.turnstile.is_shut = True
        with pytest.raises(StopIteration):
            next(group.items)
        assert group.told[-1] == "clean"
