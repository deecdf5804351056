from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, final

from typing_extensions import disjoint_base

from kvsfast._native.chunked import BodyDecoder, ReceiveBuffer
from kvsfast._native.delivery import Delivery
from kvsfast.errors import KvsFastError

WAIT: int
TURN: int

@final
class Turnstile:
    is_shut: bool
    def __init__(self) -> None: ...
    @property
    def is_taken(self) -> bool: ...
    def enter(self) -> bool: ...
    def leave(self) -> int: ...

@final
class Intake:
    def __init__(
        self,
        delivery: Delivery,
        decoder: BodyDecoder,
        turnstile: Turnstile,
        body: Any,
        recv_into: Callable[[ReceiveBuffer], int],
        pending: Callable[[], int],
        *,
        receives: int,
        idle_timeout: float,
        deadline: float,
        wait_begins: Callable[[], None],
        wait_ends: Callable[[], None],
    ) -> None: ...
    @property
    def delivery(self) -> Delivery: ...
    def step(self) -> int: ...
    def take(self) -> Any: ...

@disjoint_base
class Seat:
    data: Any
    intake: Intake | None
    armed: Intake | None
    is_ready: bool
    waits: bool
    patient_until: float

@final
class MergedIterator(Iterator[Any]):
    seat: Seat | None
    left: int
    def __init__(
        self,
        row: deque[Any],
        turnstile: Turnstile,
        *,
        go_on: Callable[[Any, int | KvsFastError | None], Any],
        clean_up: Callable[[], None],
    ) -> None: ...
    def __iter__(self) -> MergedIterator: ...
    def __next__(self) -> Any: ...
