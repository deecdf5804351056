"""Media out of Amazon Kinesis Video Streams.

    import kvsfast

    client = kvsfast.Client(region_name="eu-west-1")
    with client.get_media("front-door", kvsfast.StartSelector.now()) as media:
        for frame in media.frames():
            frame.timestamp_ns, frame.is_keyframe, frame.data

    for fragment in kvsfast.parse("recording.mkv").fragments():
        fragment.number, fragment.frames, fragment.tags

Importing it costs next to nothing: each name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from kvsfast._version import __version__

if TYPE_CHECKING:
    from kvsfast._native.fragments import Fragment
    from kvsfast._native.frames import FragmentEnd, FragmentStart, Frame, LateTags
    from kvsfast._native.parser import FragmentParser
    from kvsfast.client import SERVICE_API_VERSION, SERVICE_ID, Client
    from kvsfast.consume.checkpoint import Checkpoint, CheckpointStore, StreamCheckpoint
    from kvsfast.consume.consumer import Consumer
    from kvsfast.consume.dynamodb import DynamoCheckpoints
    from kvsfast.consume.events import (
        DigestMismatch,
        Gap,
        GapReason,
        Idle,
        Reconnected,
        Rewound,
        SessionEvent,
        StreamReset,
        Waiting,
    )
    from kvsfast.consume.many import ConsumerGroup, consume_many
    from kvsfast.consume.memory import MemoryCheckpoints
    from kvsfast.consume.metrics import PrometheusCollector, observe_with_opentelemetry
    from kvsfast.consume.options import SessionChanges, SessionOptions
    from kvsfast.consume.policy import Ending, GiveUp, Outcome, Position, Resume, ResumePolicy, StandardResume
    from kvsfast.consume.session import SessionEnd
    from kvsfast.consume.sqlite import SqliteCheckpoints
    from kvsfast.consume.stats import ConsumerStats
    from kvsfast.consume.until import Until
    from kvsfast.endpoint import endpoint_from_url
    from kvsfast.errors import (
        CheckpointError,
        ClientLimitExceededException,
        ConnectFailed,
        ConnectionLimitExceededException,
        CredentialsError,
        GapError,
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
    from kvsfast.signer import SigV4
    from kvsfast.source import parse
    from kvsfast.stream import MediaReader, MediaStream
    from kvsfast.tags import IN_STREAM_ERRORS, SERVICE_TAGS, Tag, Tags, in_stream_error
    from kvsfast.transport import HttpTransport

__all__ = [
    "AdaptiveRetry",
    "AudioTrack",
    "Checkpoint",
    "CheckpointError",
    "CheckpointStore",
    "Client",
    "ClientLimitExceededException",
    "Colour",
    "ConnectFailed",
    "ConnectionLimitExceededException",
    "Consumer",
    "ConsumerGroup",
    "ConsumerStats",
    "ContentEncoding",
    "Credentials",
    "CredentialsError",
    "CredentialsProvider",
    "DigestMismatch",
    "DynamoCheckpoints",
    "Ending",
    "Endpoint",
    "EndpointOptions",
    "EndpointResolver",
    "Fragment",
    "FragmentEnd",
    "FragmentParser",
    "FragmentStart",
    "Frame",
    "Gap",
    "GapError",
    "GapReason",
    "GetMediaInput",
    "GetMediaOutput",
    "GiveUp",
    "HttpTransport",
    "Idle",
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
    "MemoryCheckpoints",
    "MemoryStats",
    "NotAuthorizedException",
    "OptionChanges",
    "Options",
    "Outcome",
    "Position",
    "PrometheusCollector",
    "Projection",
    "Reconnected",
    "Request",
    "ResourceNotFoundException",
    "Response",
    "Resume",
    "ResumeFailed",
    "ResumePolicy",
    "RetryPacing",
    "RetryPolicy",
    "RetryQuota",
    "Rewound",
    "SegmentInfo",
    "SendRate",
    "SERVICE_API_VERSION",
    "SERVICE_ID",
    "SERVICE_TAGS",
    "ServiceError",
    "SessionChanges",
    "SessionEnd",
    "SessionEvent",
    "SessionOptions",
    "Signer",
    "SigV4",
    "SqliteCheckpoints",
    "StandardResume",
    "StandardRetry",
    "StartSelector",
    "StartSelectorShape",
    "StartSelectorType",
    "StreamCheckpoint",
    "StreamClosed",
    "StreamReset",
    "Tag",
    "Tags",
    "Track",
    "Tracks",
    "TrackType",
    "Transport",
    "TransportError",
    "TransportTimeout",
    "TruncatedMedia",
    "Until",
    "UsageError",
    "VideoTrack",
    "Waiting",
    "__version__",
    "consume_many",
    "endpoint_from_url",
    "in_stream_error",
    "memory_stats",
    "observe_with_opentelemetry",
    "parse",
]

#: Module -> the names that come from it. Each is loaded when one of its names is first used.
_MODULES = {
    "_native.fragments": "Fragment",
    "_native.frames": "FragmentEnd FragmentStart Frame LateTags",
    "_native.parser": "FragmentParser",
    "client": "Client SERVICE_API_VERSION SERVICE_ID",
    "consume.checkpoint": "Checkpoint CheckpointStore StreamCheckpoint",
    "consume.consumer": "Consumer",
    "consume.dynamodb": "DynamoCheckpoints",
    "consume.events": (
        "DigestMismatch Gap GapReason Idle Reconnected Rewound SessionEvent StreamReset Waiting"
    ),
    "consume.many": "ConsumerGroup consume_many",
    "consume.memory": "MemoryCheckpoints",
    "consume.metrics": "PrometheusCollector observe_with_opentelemetry",
    "consume.options": "SessionChanges SessionOptions",
    "consume.policy": "Ending GiveUp Outcome Position Resume ResumePolicy StandardResume",
    "consume.session": "SessionEnd",
    "consume.sqlite": "SqliteCheckpoints",
    "consume.stats": "ConsumerStats",
    "consume.until": "Until",
    "endpoint": "endpoint_from_url",
    "errors": (
        "CheckpointError ClientLimitExceededException ConnectFailed "
        "ConnectionLimitExceededException CredentialsError GapError InStreamError "
        "InvalidArgumentException InvalidEndpointException KvsFastError LeaseLost "
        "LimitExceeded MediaError NotAuthorizedException ResourceNotFoundException "
        "ResumeFailed ServiceError StreamClosed TransportError TransportTimeout TruncatedMedia "
        "UsageError"
    ),
    "memory": "MemoryStats memory_stats",
    "model": (
        "AudioTrack Colour ContentEncoding Limits MasteringMetadata Projection SegmentInfo "
        "StartSelector StartSelectorType Track TrackType Tracks VideoTrack"
    ),
    "options": "LogMode OptionChanges Options",
    "pacing": "RetryQuota SendRate",
    "protocols": (
        "Credentials CredentialsProvider Endpoint EndpointOptions EndpointResolver Request "
        "Response RetryPacing RetryPolicy Signer Transport"
    ),
    "retry": "AdaptiveRetry StandardRetry",
    "shapes": "GetMediaInput GetMediaOutput StartSelectorShape",
    "signer": "SigV4",
    "source": "parse",
    "stream": "MediaReader MediaStream",
    "tags": "IN_STREAM_ERRORS SERVICE_TAGS Tag Tags in_stream_error",
    "transport": "HttpTransport",
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"kvsfast.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
