"""Nouns that are made rarely: limits, start selectors, tracks. Plain frozen values without behaviour.

The nouns that are made often (Frame, Fragment and the events around them) are compiled: ``_native.frames``
and ``_native.fragments``.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kvsfast.errors import UsageError

__all__ = [
    "AudioTrack",
    "Colour",
    "ContentEncoding",
    "Limits",
    "MasteringMetadata",
    "Projection",
    "SegmentInfo",
    "StartSelector",
    "StartSelectorType",
    "Track",
    "TrackType",
    "Tracks",
    "VideoTrack",
]

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What a parser may be made to hold or walk, whatever the media declares. Sizes are bytes.

    A declaration beyond a limit raises :class:`kvsfast.LimitExceeded` before anything is allocated, and
    memory grows with the bytes received, never with a declared size.
    """

    #: One SimpleBlock or BlockGroup, and one frame after its content encoding is undone.
    max_block_size: int = 64 * MIB
    #: A kept fragment: from its EBML header to the end of its trailer. The service's own limit is 50 MB.
    max_fragment_size: int = 256 * MIB
    #: Frames of a kept fragment (a lace can declare 256 frames in a few bytes).
    max_frames: int = 1_000_000
    #: A string element, such as a tag's value.
    max_string_size: int = 1 * MIB
    #: A binary element that is kept, such as CodecPrivate.
    max_binary_size: int = 16 * MIB
    #: SimpleTags of one document, and the sum of their names and values.
    max_tags: int = 10_000
    max_tags_size: int = 16 * MIB
    #: TrackEntries of one document.
    max_tracks: int = 128
    #: Levels of nesting. Deeper masters of known size are skipped whole.
    max_depth: int = 16
    #: Elements in a row without any event: what keeps a reader busy with nothing.
    max_barren_elements: int = 10_000_000

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise UsageError(f"Limits.{name} is {value!r}, expected a whole number of at least 1")
        if self.max_depth > 64:
            raise UsageError(f"Limits.max_depth is {self.max_depth}, expected at most 64")
        if self.max_block_size > 2**31:
            raise UsageError(f"Limits.max_block_size is {self.max_block_size}, expected at most 2**31")


class StartSelectorType(enum.StrEnum):
    """Where GetMedia begins (API reference, StartSelector)."""

    NOW = "NOW"
    EARLIEST = "EARLIEST"
    FRAGMENT_NUMBER = "FRAGMENT_NUMBER"
    SERVER_TIMESTAMP = "SERVER_TIMESTAMP"
    PRODUCER_TIMESTAMP = "PRODUCER_TIMESTAMP"
    CONTINUATION_TOKEN = "CONTINUATION_TOKEN"


#: The member of StartSelector that each type needs; the others must be absent.
_COMPANION = {
    StartSelectorType.NOW: None,
    StartSelectorType.EARLIEST: None,
    StartSelectorType.FRAGMENT_NUMBER: "AfterFragmentNumber",
    StartSelectorType.SERVER_TIMESTAMP: "StartTimestamp",
    StartSelectorType.PRODUCER_TIMESTAMP: "StartTimestamp",
    StartSelectorType.CONTINUATION_TOKEN: "ContinuationToken",
}
_FIELDS = {
    "AfterFragmentNumber": "fragment_number",
    "StartTimestamp": "timestamp",
    "ContinuationToken": "token",
}
_NUMBER = re.compile(r"[0-9]{1,128}")
_TOKEN = re.compile(r"[a-zA-Z0-9_.-]{1,128}")


@dataclass(frozen=True, slots=True)
class StartSelector:
    """Where in the stream GetMedia begins. Made by one of the class methods; checked when it is made."""

    type: StartSelectorType
    fragment_number: str | None = None
    timestamp: datetime | None = None
    token: str | None = None

    def __post_init__(self) -> None:
        try:
            kind = StartSelectorType(self.type)
        except ValueError:
            names = ", ".join(StartSelectorType)
            raise UsageError(f"StartSelectorType is {self.type!r}, expected one of {names}") from None
        object.__setattr__(self, "type", kind)
        needed = _COMPANION[kind]
        for member, field in _FIELDS.items():
            given = getattr(self, field) is not None
            if member == needed and not given:
                raise UsageError(f"StartSelector {kind} needs {member}")
            if member != needed and given:
                raise UsageError(f"StartSelector {kind} does not take {member}")
        if self.fragment_number is not None and not _matches(_NUMBER, self.fragment_number):
            raise UsageError(f"AfterFragmentNumber is {self.fragment_number!r}, expected 1 to 128 digits")
        if self.token is not None and not _matches(_TOKEN, self.token):
            raise UsageError(
                f"ContinuationToken is {self.token!r}, expected 1 to 128 of the characters a-z A-Z 0-9 _ . -"
            )
        if self.timestamp is not None:
            if not isinstance(self.timestamp, datetime):
                raise UsageError(f"StartTimestamp is {self.timestamp!r}, expected a datetime")
            if self.timestamp.utcoffset() is None:
                raise UsageError(
                    f"StartTimestamp {self.timestamp} has no time zone; say which, e.g. tzinfo=datetime.UTC"
                )

    @classmethod
    def now(cls) -> StartSelector:
        """The newest fragment. Yields only while a producer is sending."""
        return cls(StartSelectorType.NOW)

    @classmethod
    def earliest(cls) -> StartSelector:
        """The oldest fragment still retained."""
        return cls(StartSelectorType.EARLIEST)

    @classmethod
    def after_fragment(cls, number: str) -> StartSelector:
        """The fragment after the one of this number (a decimal string)."""
        return cls(StartSelectorType.FRAGMENT_NUMBER, fragment_number=number)

    @classmethod
    def at_server_time(cls, when: datetime) -> StartSelector:
        """The fragment that the service was receiving at this time. ``when`` must have a time zone."""
        return cls(StartSelectorType.SERVER_TIMESTAMP, timestamp=when)

    @classmethod
    def at_producer_time(cls, when: datetime) -> StartSelector:
        """The fragment that the producer recorded at this time. ``when`` must have a time zone."""
        return cls(StartSelectorType.PRODUCER_TIMESTAMP, timestamp=when)

    @classmethod
    def from_token(cls, token: str) -> StartSelector:
        """The fragment after the one that carried this continuation token."""
        return cls(StartSelectorType.CONTINUATION_TOKEN, token=token)

    @classmethod
    def of(cls, start: StartSelector | Mapping[str, Any]) -> StartSelector:
        """A selector as it is, or botocore's dict of one."""
        return start if isinstance(start, StartSelector) else cls.from_dict(start)

    @classmethod
    def from_dict(cls, start: Mapping[str, Any]) -> StartSelector:
        """From botocore's shape, e.g. ``{"StartSelectorType": "NOW"}``. UsageError names what is wrong.

        StartTimestamp may be a datetime with a time zone, or a number of epoch seconds.
        """
        if not isinstance(start, Mapping):
            raise UsageError(f"start is {start!r}, expected a StartSelector or a dict like it")
        unknown = set(start) - {"StartSelectorType", *_FIELDS}
        if unknown:
            raise UsageError(f"StartSelector has no member {', '.join(sorted(map(str, unknown)))}")
        if "StartSelectorType" not in start:
            raise UsageError("StartSelector needs StartSelectorType")
        when: Any = start.get("StartTimestamp")
        if isinstance(when, int | float) and not isinstance(when, bool):
            try:
                when = datetime.fromtimestamp(when, UTC)
            except (OverflowError, ValueError, OSError):
                raise UsageError(f"StartTimestamp is {when!r}, expected epoch seconds") from None
        return cls(
            start["StartSelectorType"], start.get("AfterFragmentNumber"), when, start.get("ContinuationToken")
        )

    def to_dict(self) -> dict[str, Any]:
        """Botocore's shape, ready to be passed to ``get_media(StartSelector=...)``."""
        shape: dict[str, Any] = {"StartSelectorType": self.type.value}
        for member, field in _FIELDS.items():
            value = getattr(self, field)
            if value is not None:
                shape[member] = value
        return shape


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


class TrackType(enum.IntEnum):
    """TrackType (RFC 9559, section 5.1.4.1.3)."""

    VIDEO = 1
    AUDIO = 2
    COMPLEX = 3
    LOGO = 16
    SUBTITLE = 17
    BUTTONS = 18
    CONTROL = 32
    METADATA = 33


@dataclass(frozen=True, slots=True)
class MasteringMetadata:
    """SMPTE 2086 mastering data (RFC 9559, section 5.1.4.1.28.31). None: not told."""

    primary_r_chromaticity_x: float | None = None
    primary_r_chromaticity_y: float | None = None
    primary_g_chromaticity_x: float | None = None
    primary_g_chromaticity_y: float | None = None
    primary_b_chromaticity_x: float | None = None
    primary_b_chromaticity_y: float | None = None
    white_point_chromaticity_x: float | None = None
    white_point_chromaticity_y: float | None = None
    luminance_max: float | None = None
    luminance_min: float | None = None


@dataclass(frozen=True, slots=True)
class Colour:
    """How to read the colours (RFC 9559, section 5.1.4.1.28.16).

    Values are those of ISO/IEC 23091-4; None: not told.
    """

    matrix_coefficients: int = 2
    bits_per_channel: int = 0
    chroma_subsampling_horz: int | None = None
    chroma_subsampling_vert: int | None = None
    cb_subsampling_horz: int | None = None
    cb_subsampling_vert: int | None = None
    chroma_siting_horz: int = 0
    chroma_siting_vert: int = 0
    range: int = 0
    transfer_characteristics: int = 2
    primaries: int = 2
    max_cll: int | None = None
    max_fall: int | None = None
    mastering_metadata: MasteringMetadata | None = None


@dataclass(frozen=True, slots=True)
class Projection:
    """How the picture lies on a sphere (RFC 9559, section 5.1.4.1.28.41). Angles in degrees."""

    type: int = 0
    private: bytes | None = None
    pose_yaw: float = 0.0
    pose_pitch: float = 0.0
    pose_roll: float = 0.0


@dataclass(frozen=True, slots=True)
class VideoTrack:
    """Video settings of a track (RFC 9559, section 5.1.4.1.28). Sizes in pixels; None: not told."""

    pixel_width: int | None = None
    pixel_height: int | None = None
    pixel_crop_top: int = 0
    pixel_crop_bottom: int = 0
    pixel_crop_left: int = 0
    pixel_crop_right: int = 0
    display_width: int | None = None
    display_height: int | None = None
    display_unit: int = 0
    aspect_ratio_type: int = 0
    flag_interlaced: int = 0
    field_order: int = 2
    stereo_mode: int = 0
    alpha_mode: int = 0
    uncompressed_fourcc: bytes | None = None
    frame_rate: float | None = None
    colour: Colour | None = None
    projection: Projection | None = None


@dataclass(frozen=True, slots=True)
class AudioTrack:
    """Audio settings of a track (RFC 9559, section 5.1.4.1.29). Frequencies in Hz; None: not told."""

    sampling_frequency: float = 8000.0
    output_sampling_frequency: float | None = None
    channels: int = 1
    bit_depth: int | None = None
    emphasis: int = 0


@dataclass(frozen=True, slots=True)
class ContentEncoding:
    """One step that was applied to a track's data, in ascending ``order`` (RFC 9559, section 5.1.4.1.31).

    ``scope``: bits 1 = frames, 2 = CodecPrivate. ``type``: 0 compression, 1 encryption. ``comp_algo``:
    0 zlib, 1 bzip2, 2 lzo1x, 3 header stripping; ``comp_settings``: for 3, the bytes that were stripped.
    ``supported``: kvsfast undoes it. A track with one that is not delivers its frames as stored.
    """

    order: int = 0
    scope: int = 1
    type: int = 0
    comp_algo: int = 0
    comp_settings: bytes = b""
    enc_algo: int = 0
    enc_key_id: bytes | None = None
    aes_cipher_mode: int | None = None

    @property
    def supported(self) -> bool:
        return self.type == 0 and self.comp_algo in (0, 3)


@dataclass(frozen=True, slots=True)
class Track:
    """One TrackEntry (RFC 9559, section 5.1.4.1). Durations in ns; None: not told.

    ``number`` is what blocks carry, ``uid`` what tags refer to. Do not trust ``codec_id`` blindly: Amazon
    Connect labels raw PCM as A_AAC.
    """

    number: int
    uid: int = 0
    type: int = 0
    codec_id: str = ""
    name: str = ""
    language: str = "eng"
    codec_private: bytes | None = None
    codec_name: str = ""
    default_duration_ns: int | None = None
    default_decoded_field_duration_ns: int | None = None
    codec_delay_ns: int = 0
    seek_pre_roll_ns: int = 0
    timestamp_scale: float = 1.0
    flag_enabled: bool = True
    flag_default: bool = True
    flag_forced: bool = False
    flag_hearing_impaired: bool | None = None
    flag_visual_impaired: bool | None = None
    flag_text_descriptions: bool | None = None
    flag_original: bool | None = None
    flag_commentary: bool | None = None
    flag_lacing: bool = True
    max_block_addition_id: int = 0
    video: VideoTrack | None = None
    audio: AudioTrack | None = None
    content_encodings: tuple[ContentEncoding, ...] = ()

    @property
    def is_decoded(self) -> bool:
        """Whether frames are delivered with every content encoding undone."""
        return all(step.supported for step in self.content_encodings if step.scope & 1)


class Tracks(tuple[Track, ...]):
    """The tracks of a document in its order. Neither order nor numbers are fixed: look them up."""

    __slots__ = ()

    def by_number(self, number: int) -> Track | None:
        """The track whose blocks carry this number."""
        return next((track for track in self if track.number == number), None)

    def by_name(self, name: str) -> Track | None:
        """The first track of this name, e.g. Amazon Connect's ``AUDIO_FROM_CUSTOMER``."""
        return next((track for track in self if track.name == name), None)

    def of_type(self, kind: int) -> Tracks:
        """The tracks of a :class:`TrackType`."""
        return Tracks(track for track in self if track.type == kind)


@dataclass(frozen=True, slots=True)
class SegmentInfo:
    """Info of the Segment (RFC 9559, section 5.1.2) and the document's type.

    ``duration_ns`` is the original file's and means nothing in a GetMedia response.
    """

    doc_type: str = "matroska"
    timestamp_scale_ns: int = 1_000_000
    title: str = ""
    muxing_app: str = ""
    writing_app: str = ""
    segment_uuid: bytes | None = None
    date_utc: datetime | None = None
    duration_ns: int | None = None
