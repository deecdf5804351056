from collections.abc import Iterable
from typing import final

@final
class Selection:
    key_frames_only: bool
    @property
    def tracks(self) -> tuple[int | str, ...]: ...
    def __init__(self, tracks: Iterable[int | str] = ..., key_frames_only: bool = ...) -> None: ...
    def __bool__(self) -> bool: ...
