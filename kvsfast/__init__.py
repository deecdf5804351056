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
from kvsfast.source import parse
from kvsfast.stream import MediaReader, MediaStream
from kvsfast.tags import IN_STREAM_ERRORS, SERVICE_TAGS, Tag, Tags, in_stream_error

if TYPE_CHECKING:
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
    from kvsfast.signer import SigV4
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

_LAZY = {
    "Client": "client",
    "SERVICE_API_VERSION": "client",
    "SERVICE_ID": "client",
    "Checkpoint": "consume.checkpoint",
    "CheckpointStore": "consume.checkpoint",
    "StreamCheckpoint": "consume.checkpoint",
    "Consumer": "consume.consumer",
    "DigestMismatch": "consume.events",
    "Gap": "consume.events",
    "GapReason": "consume.events",
    "Idle": "consume.events",
    "Reconnected": "consume.events",
    "Rewound": "consume.events",
    "SessionEvent": "consume.events",
    "StreamReset": "consume.events",
    "Waiting": "consume.events",
    "DynamoCheckpoints": "consume.dynamodb",
    "ConsumerGroup": "consume.many",
    "consume_many": "consume.many",
    "MemoryCheckpoints": "consume.memory",
    "PrometheusCollector": "consume.metrics",
    "observe_with_opentelemetry": "consume.metrics",
    "SessionChanges": "consume.options",
    "SessionOptions": "consume.options",
    "Ending": "consume.policy",
    "GiveUp": "consume.policy",
    "Outcome": "consume.policy",
    "Position": "consume.policy",
    "Resume": "consume.policy",
    "ResumePolicy": "consume.policy",
    "StandardResume": "consume.policy",
    "SessionEnd": "consume.session",
    "SqliteCheckpoints": "consume.sqlite",
    "ConsumerStats": "consume.stats",
    "Until": "consume.until",
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
