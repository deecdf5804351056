from collections.abc import Callable
from ssl import MemoryBIO, SSLObject
from typing import final

from typing_extensions import Buffer

@final
class Span: ...

@final
class RecordReader:
    def __init__(self, tls: SSLObject, incoming: MemoryBIO) -> None: ...
    def feed(self, data: Buffer) -> None: ...
    def receive_eof(self) -> None: ...
    def read_into(self, target: Buffer, most: int) -> int: ...
    def receive_into(
        self,
        recv_into: Callable[[Buffer, int, int], int],
        landing: Buffer,
        most_received: int,
        flags: int,
        target: Buffer,
        most: int,
    ) -> int: ...
    @property
    def pending(self) -> int: ...
