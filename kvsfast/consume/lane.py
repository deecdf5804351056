"""One session among many: its round, told as steps, with a socket that is never waited for.

What goes through these steps is a loop over many lanes (:mod:`kvsfast.consume.loop`) or a task of asyncio.
Besides those of :mod:`kvsfast.steps` there are two: an item to give, and a socket to become readable.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from kvsfast._native.delivery import DATA, ITEM, LOOK
from kvsfast._native.intake import TURN, WAIT, Intake
from kvsfast.consume.session import Session
from kvsfast.errors import KvsFastError, UsageError
from kvsfast.readiness import TurnSource
from kvsfast.steps import Pause, Step
from kvsfast.stream import MediaStream

__all__ = ["Give", "Lane", "LaneStep", "Ready", "lane"]


class Give:
    """An item for the user. One for all items of a lane: take it before going on.

    ``intake``, where it is given, is the short way to what follows: a driver may go on by its ``step()``,
    as long as there are items to take and turns to be waited for. Then it answers with the status that is
    neither, or throws what ``step()`` raised.
    """

    __slots__ = ("intake", "item")

    item: Any
    intake: Intake | None


@dataclass(slots=True)
class Ready:
    """Wait until ``source`` is worth another try. Answered by True, or by False if that took all of its
    patience. ``intake``: as of :class:`Give`, when it is."""

    source: TurnSource
    intake: Intake


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
                give.item, give.intake = session.notices.popleft(), None
                yield give
            if session.is_over and session.failure is None:
                return
            media = yield from session.connect()
        source = media.never_wait()
        intake = source.intake(delivery, wait_begins=session.wait_begins, wait_ends=session.wait_ends)
        error = yield from _read(session, media, Ready(source, intake), give)
        session.ended(error)


def _read(
    session: Session, media: MediaStream, ready: Ready, give: Give
) -> Generator[LaneStep, Any, KvsFastError | None]:
    """One response. Returns what ended it, None: a clean end, or nobody wants more."""
    intake, delivery = ready.intake, ready.intake.delivery
    status: int | None = DATA  # what came with the head goes the long way
    while True:
        try:
            if status is None:
                status = intake.step()
            if status == ITEM:
                give.item, give.intake = delivery.take(), intake
                status = yield give
                continue
            if status == WAIT:
                answer = yield ready
                if answer is False and not session.timed_out(timeout := ready.source.timed_out()):
                    return timeout
                status = None if isinstance(answer, bool) else answer
                continue
            if status == TURN:
                yield Pause(0)
                status = None
                continue
            if status == DATA:
                status = None
                session.wait_begins()
                delivery.fill(media.receive)
                session.wait_ends()
                continue
        except BlockingIOError:
            status = WAIT
            continue
        except UsageError:
            raise
        except KvsFastError as error:
            return error
        if status != LOOK:
            return None
        status = None
        event = session.look()
        if event is not None:
            give.item, give.intake = event, None
            yield give
        elif not delivery.holds:
            yield from session.settle()
            if session.leaves:
                return None
