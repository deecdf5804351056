"""One session among many: its round, told as steps, with a socket that is never waited for.

What goes through these steps is a loop over many lanes (:mod:`kvsfast.consume.loop`) or a task of asyncio.
Besides those of :mod:`kvsfast.steps` there are two: an item to give, and a socket to become readable.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from kvsfast._native.delivery import DATA, ITEM, LOOK, Delivery
from kvsfast.consume.session import Session
from kvsfast.errors import KvsFastError, UsageError
from kvsfast.readiness import TurnSource
from kvsfast.steps import Step
from kvsfast.stream import MediaStream

__all__ = ["Give", "Lane", "LaneStep", "Ready", "lane"]


class Give:
    """An item for the user. One for all items of a lane: take it before going on.

    Where ``delivery`` is given, a driver may go on by its ``step()`` as long as there are items to take,
    which is faster; then it answers with the status that is none, or throws what ``step()`` raised.
    """

    __slots__ = ("delivery", "item")

    item: Any
    delivery: Delivery | None


@dataclass(slots=True)
class Ready:
    """Wait until ``source`` is worth another try. Answered by False if that took all of its patience."""

    source: TurnSource


LaneStep = Step | Give | Ready
Lane = Generator[LaneStep, Any, None]


def lane(session: Session, mode: str) -> Lane:
    """The whole life of a session, for a driver that never blocks. Raises what ends the session badly."""
    if session.options.prefetch_bytes is not None:
        raise UsageError("prefetch_bytes reads ahead by a thread; a loop over many streams has none for each")
    delivery = session.begin(mode)
    give = Give()
    while True:
        media: MediaStream | None = None
        while media is None:
            while session.notices:
                give.item, give.delivery = session.notices.popleft(), None
                yield give
            if session.is_over and session.failure is None:
                return
            media = yield from session.connect()
        source = media.never_wait()
        error = yield from _read(session, delivery, media, source, give)
        session.ended(error)


def _read(
    session: Session, delivery: Delivery, media: MediaStream, source: TurnSource, give: Give
) -> Generator[LaneStep, Any, KvsFastError | None]:
    """One response. Returns what ended it, None: a clean end, or nobody wants more."""
    while True:
        try:
            status = delivery.step()
            while status == ITEM:
                give.item, give.delivery = delivery.take(), delivery
                answer = yield give
                status = delivery.step() if answer is None else answer
            if status == DATA:
                session.wait_begins()
                delivery.fill(media.receive)
                session.wait_ends()
                continue
        except BlockingIOError:
            if not (yield Ready(source)) and not session.timed_out(timeout := source.timed_out()):
                return timeout
            continue
        except KvsFastError as error:
            return error
        if status != LOOK:
            return None
        event = session.look()
        if event is not None:
            give.item, give.delivery = event, None
            yield give
        elif not delivery.holds:
            yield from session.settle()
            if session.leaves:
                return None
