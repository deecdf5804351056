from typing import final

from kvsfast.model import SegmentInfo, Tracks
from kvsfast.tags import Tags

@final
class ServiceTags: ...

@final
class SimpleTagNode: ...

@final
class SectionReader:
    @property
    def info(self) -> SegmentInfo: ...
    @property
    def tracks(self) -> Tracks: ...
    @property
    def tags(self) -> Tags: ...
