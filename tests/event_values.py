"""The events of a parse as plain values: what the reference gives and what feed() converts to."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

from kvsfast.model import SegmentInfo, Tracks
from kvsfast.tags import Tags

__all__ = ["End", "Error", "Event", "Frame", "Late", "Raised", "Start", "comparable"]


@dataclass(frozen=True)
class Start:
    """FragmentStart as a value."""

    number: str | None
    server_timestamp_ms: int | None
    producer_timestamp_ms: int | None
    tracks: Tracks
    tags: Tags
    info: SegmentInfo
    cluster_timestamp: int | None
    offset: int


@dataclass(frozen=True)
class Frame:
    """Frame as a value. ``fragment_offset``: the offset of the FragmentStart it belongs to."""

    track_number: int
    timestamp_ns: int
    media_time_ns: int
    data: bytes = field(repr=False)
    size: int
    is_keyframe: bool
    is_invisible: bool
    is_discardable: bool
    is_laced: bool
    is_estimated: bool
    is_stored: bool
    duration_ns: int | None
    discard_padding_ns: int | None
    block_additions: tuple[tuple[int, bytes], ...]
    fragment_offset: int


@dataclass(frozen=True)
class End:
    """FragmentEnd as a value. ``start_offset``: the offset of its FragmentStart."""

    number: str | None
    is_complete: bool
    continuation_token: str | None
    millis_behind_now: int | None
    tags: Tags
    frame_count: int
    size: int
    start_offset: int


@dataclass(frozen=True)
class Late:
    """LateTags as a value."""

    number: str | None
    tags: Tags


@dataclass(frozen=True)
class Error:
    """InStreamError as a value."""

    error_id: int
    error_code: str
    fragment_number: str | None
    retryable: bool
    message: str


@dataclass(frozen=True)
class Raised:
    """The MediaError that ends the parse. ``limit``: the name of the limit of a LimitExceeded."""

    error: str
    offset: int
    limit: str = ""


Event = Start | Frame | End | Late | Error | Raised


def comparable(value: Any) -> Any:
    """``value`` with every NaN in it replaced by a string, for NaN is not equal to itself."""
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    if isinstance(value, tuple):
        return type(value)(map(comparable, value))
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{f.name: comparable(getattr(value, f.name)) for f in fields(value)})
    return value
