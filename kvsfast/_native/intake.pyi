from collections.abc import Callable, Iterator
from typing import Any, final

from kvsfast._native.chunked import BodyDecoder, ReceiveBuffer
from kvsfast._native.delivery import Delivery

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
        wait_begins: Callable[[], None],
        wait_ends: Callable[[], None],
    ) -> None: ...
    @property
    def delivery(self) -> Delivery: ...
    def step(self) -> int: ...
    def take(self) -> Any: ...

@final
class MergedIterator(Iterator[Any]):
    def __init__(self, turn: Callable[[], Any]) -> None: ...
    def follow(self, owner: Any, intake: Intake | None) -> None: ...
    def __iter__(self) -> MergedIterator: ...
    def __next__(self) -> Any: ...
