"""Media out of Amazon Kinesis Video Streams.

    import kvsfast

    client = kvsfast.Client(region_name="eu-west-1")
    with client.get_media("front-door", kvsfast.StartSelector.now()) as media:
        for frame in media.frames():
            frame.timestamp_ns, frame.is_keyframe, frame.data

    for fragment in kvsfast.parse("recording.mkv").fragments():
        fragment.number, fragment.frames, fragment.tags

What needs urllib3 or a session of botocore is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from kvsfast._native.frames import Fragment, FragmentEnd, FragmentStart, Frame, LateTags
from kvsfast._native.parser import FragmentParser
from kvsfast._version import __version__
from kvsfast.errors import (
    CheckpointError,
    ClientLimitExceededException,
    ConnectFailed,
    ConnectionLimitExceededException,
    CredentialsError,
    InStreamError,
    InvalidArgumentException,
    InvalidEndpointException,
    KvsFastError,
    LeaseLost,
    LimitExceeded,
    MediaError,
    NotAuthorizedException,
    ResourceNotFoundException,
    ResumeFailed,
    ServiceError,
    StreamClosed,
    TransportError,
    TransportTimeout,
    TruncatedMedia,
    UsageError,
)
from kvsfast.memory import MemoryStats, memory_stats
from kvsfast.model import (
    AudioTrack,
    Colour,
    ContentEncoding,
    Limits,
    MasteringMetadata,
    Projection,
    SegmentInfo,
    StartSelector,
    StartSelectorType,
    Track,
    Tracks,
    TrackType,
    VideoTrack,
)
from kvsfast.options import LogMode, OptionChanges, Options
from kvsfast.pacing import RetryQuota, SendRate
from kvsfast.protocols import (
    Credentials,
    CredentialsProvider,
    Endpoint,
    EndpointOptions,
    EndpointResolver,
    Request,
    Response,
    RetryPacing,
    RetryPolicy,
    Signer,
    Transport,
)
from kvsfast.retry import AdaptiveRetry, StandardRetry
from kvsfast.shapes import GetMediaInput, GetMediaOutput, StartSelectorShape
from kvsfast.source import parse
from kvsfast.stream import MediaReader, MediaStream
from kvsfast.tags import IN_STREAM_ERRORS, SERVICE_TAGS, Tag, Tags, in_stream_error

if TYPE_CHECKING:
    from kvsfast.client import SERVICE_API_VERSION, SERVICE_ID, Client
    from kvsfast.endpoint import endpoint_from_url
    from kvsfast.signer import SigV4
    from kvsfast.transport import HttpTransport

__all__ = [
    "AdaptiveRetry",
    "AudioTrack",
    "CheckpointError",
    "Client",
    "ClientLimitExceededException",
    "Colour",
    "ConnectFailed",
    "ConnectionLimitExceededException",
    "ContentEncoding",
    "Credentials",
    "CredentialsError",
    "CredentialsProvider",
    "Endpoint",
    "EndpointOptions",
    "EndpointResolver",
    "Fragment",
    "FragmentEnd",
    "FragmentParser",
    "FragmentStart",
    "Frame",
    "GetMediaInput",
    "GetMediaOutput",
    "HttpTransport",
    "IN_STREAM_ERRORS",
    "InStreamError",
    "InvalidArgumentException",
    "InvalidEndpointException",
    "KvsFastError",
    "LateTags",
    "LeaseLost",
    "LimitExceeded",
    "Limits",
    "LogMode",
    "MasteringMetadata",
    "MediaError",
    "MediaReader",
    "MediaStream",
    "MemoryStats",
    "NotAuthorizedException",
    "OptionChanges",
    "Options",
    "Projection",
    "Request",
    "ResourceNotFoundException",
    "Response",
    "ResumeFailed",
    "RetryPacing",
    "RetryPolicy",
    "RetryQuota",
    "SERVICE_API_VERSION",
    "SERVICE_ID",
    "SERVICE_TAGS",
    "SegmentInfo",
    "SendRate",
    "ServiceError",
    "SigV4",
    "Signer",
    "StandardRetry",
    "StartSelector",
    "StartSelectorShape",
    "StartSelectorType",
    "StreamClosed",
    "Tag",
    "Tags",
    "Track",
    "TrackType",
    "Tracks",
    "Transport",
    "TransportError",
    "TransportTimeout",
    "TruncatedMedia",
    "UsageError",
    "VideoTrack",
    "__version__",
    "endpoint_from_url",
    "in_stream_error",
    "memory_stats",
    "parse",
]

_LAZY = {
    "Client": "client",
    "SERVICE_API_VERSION": "client",
    "SERVICE_ID": "client",
    "endpoint_from_url": "endpoint",
    "SigV4": "signer",
    "HttpTransport": "transport",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"kvsfast.{_LAZY[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
