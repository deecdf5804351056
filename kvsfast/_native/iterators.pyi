from collections.abc import Callable, Iterator
from typing import Any, Self, TypeVar, final

from typing_extensions import disjoint_base

from kvsfast._native.fragments import Fragment
from kvsfast._native.frames import FragmentEnd, FragmentStart, Frame, LateTags
from kvsfast._native.parser import FragmentParser
from kvsfast._native.selection import Selection
from kvsfast.errors import InStreamError, MediaError

_Item_co = TypeVar("_Item_co", covariant=True)

@disjoint_base
class MediaIterator(Iterator[_Item_co]):
    def __init__(self, parser: FragmentParser, fill: Callable[[], bool]) -> None: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> _Item_co: ...

@final
class EventIterator(
    MediaIterator[FragmentStart | Frame | FragmentEnd | LateTags | InStreamError | MediaError]
): ...

@final
class FrameIterator(MediaIterator[Frame]): ...

@final
class FragmentIterator(MediaIterator[Fragment]):
    def __init__(self, parser: FragmentParser, fill: Callable[[], bool]) -> None: ...

@final
class SelectedIterator(MediaIterator[Any]):
    def __init__(
        self, parser: FragmentParser, fill: Callable[[], bool], selection: Selection, events: bool
    ) -> None: ...
