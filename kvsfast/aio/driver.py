"""Steps (:mod:`kvsfast.steps`) gone through on an event loop: what only waits takes no thread."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from kvsfast.steps import Pause, Step, Steps, Turn, abandon, deadline_passed, start

Result = TypeVar("Result")
Spawn = Callable[[Callable[[], None]], object]


async def drive(steps: Steps[Result], deadline: float = math.inf, *, spawn: Spawn) -> Result:
    """Go through the steps, none beyond ``deadline`` (of ``time.monotonic``); ``spawn`` does work elsewhere.

    Work that is under way when the task is cancelled is abandoned: what it brings is discarded when it comes.
    """
    try:
        step = next(steps)
        while True:
            try:
                result = await _perform(step, deadline, spawn)
            except BaseException as error:
                step = steps.throw(error)
            else:
                step = steps.send(result)
    except StopIteration as done:
        value: Result = done.value
        return value


async def _perform(step: Step, deadline: float, spawn: Spawn) -> Any:
    if isinstance(step, Pause):
        return await asyncio.sleep(step.seconds)
    if isinstance(step, Turn):
        return await _result(step.future, deadline)
    future = start(step, spawn)
    try:
        return await _result(future, deadline)
    except BaseException:
        abandon(step, future)
        raise


async def _result(future: Future[Any], deadline: float) -> Any:
    settled = asyncio.get_running_loop().create_future()
    tell_when_done(future, settled)
    try:
        async with asyncio.timeout(None if math.isinf(deadline) else deadline - time.monotonic()):
            await settled
    except TimeoutError:
        raise deadline_passed() from None
    return future.result()


def tell_when_done(future: Future[Any], told: asyncio.Future[None]) -> None:
    """Settle ``told``, a future of the running loop, when ``future`` is done.

    Not ``asyncio.wrap_future``, which would cancel a future that others wait for as well.
    """
    loop = told.get_loop()

    def wake(_: Future[Any]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile, and nobody waits
            loop.call_soon_threadsafe(settle, told)

    future.add_done_callback(wake)


def settle(told: asyncio.Future[None]) -> None:
    """Unless it is settled, or cancelled, already."""
    if not told.done():
        told.set_result(None)
