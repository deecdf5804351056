from collections.abc import Callable
from typing import final

from typing_extensions import Buffer

from kvsfast._native.assembly import Assembly
from kvsfast._native.fragments import Fragment
from kvsfast._native.frames import FragmentEnd, FragmentStart, Frame, LateTags
from kvsfast.errors import InStreamError, MediaError
from kvsfast.model import Limits

_Event = FragmentStart | Frame | FragmentEnd | Fragment | LateTags | InStreamError | MediaError

@final
class FragmentParser(Assembly):
    def __init__(
        self,
        *,
        keep_fragments: bool = ...,
        strict: bool = ...,
        trailer: bool | None = ...,
        limits: Limits | None = ...,
        resync: bool = ...,
    ) -> None: ...
    on_broken: Callable[[], object] | None
    def receive_data(self, data: Buffer) -> None: ...
    def receive_eof(self) -> None: ...
    def fail(self, error: Exception) -> None: ...
    def next_event(self) -> _Event | None: ...
