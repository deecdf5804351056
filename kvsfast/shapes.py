"""GetMedia in botocore's own shapes: what its request takes and what its response has, as TypedDicts.

The members are those of the service model ``kinesis-video-media`` 2017-09-30; a test compares them.
"""

# Without postponed evaluation of annotations, which hides Required from __required_keys__.

from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Required, TypedDict

if TYPE_CHECKING:
    from kvsfast.stream import MediaStream

__all__ = ["GetMediaInput", "GetMediaOutput", "StartSelectorShape"]


class StartSelectorShape(TypedDict, total=False):
    """Where to begin; :class:`kvsfast.StartSelector` says which member goes with which type."""

    StartSelectorType: Required[
        Literal[
            "FRAGMENT_NUMBER",
            "SERVER_TIMESTAMP",
            "PRODUCER_TIMESTAMP",
            "NOW",
            "EARLIEST",
            "CONTINUATION_TOKEN",
        ]
    ]
    AfterFragmentNumber: str
    StartTimestamp: datetime
    ContinuationToken: str


class GetMediaInput(TypedDict, total=False):
    """The request: one of StreamName and StreamARN, and StartSelector. ``client.get_media(**request)``."""

    StreamName: str
    StreamARN: str
    StartSelector: Required[StartSelectorShape]


class GetMediaOutput(TypedDict):
    """The response, as ``media.output``. Payload is the stream itself: ``read(n)``, ``iter_chunks()`` and
    ``close()`` as botocore's StreamingBody has them, and the rest of :class:`kvsfast.MediaStream`."""

    ContentType: str
    Payload: "MediaStream"
    ResponseMetadata: dict[str, Any]
