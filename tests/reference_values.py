"""What elements mean: leaf values, lacing, Info, Tracks, Tags. The second half of the reference parser.

A master that has ended is a :class:`Node`: leaves by name and child masters, in order. Of an element that
may occur once, the first counts.
"""

from __future__ import annotations

import dataclasses
import math
import re
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from kvsfast.errors import LimitExceeded, MediaError
from kvsfast.model import (
    AudioTrack,
    Colour,
    ContentEncoding,
    Limits,
    MasteringMetadata,
    Projection,
    SegmentInfo,
    Track,
    Tracks,
    VideoTrack,
)
from kvsfast.tags import SERVICE_TAGS, Tag, Tags
from tests.matroska_elements import Element

INT64_MAX = 2**63 - 1

#: Dates are nanoseconds since then (RFC 8794, section 7.6); Python's have microseconds.
MILLENNIUM = datetime(2001, 1, 1, tzinfo=UTC)

#: Binary elements that the parser keeps; it steps over the others.
KEPT_BINARY = {
    "SegmentUUID",
    "CodecPrivate",
    "UncompressedFourCC",
    "ProjectionPrivate",
    "ContentCompSettings",
    "ContentEncKeyID",
    "TagBinary",
    "BlockAdditional",
}


@dataclass
class Node:
    """A master. ``end``: None while the size is unknown. ``items``: what ended in it, in order."""

    name: str
    offset: int
    end: int | None
    is_ignored: bool = False
    items: list[tuple[str, Any]] = field(default_factory=list)

    def all(self, name: str) -> list[Any]:
        return [value for key, value in self.items if key == name]

    def first(self, name: str, default: Any = None) -> Any:
        return next((value for key, value in self.items if key == name), default)


def check_leaf_size(element: Element, size: int, offset: int) -> None:
    """Refuse a number of a size that no number has (RFC 8794, section 7)."""
    if element.type in "ui" and size > 8:
        raise MediaError(f"{element.name} is an integer of {size} bytes", offset=offset)
    if element.type == "f" and size not in (0, 4, 8):
        raise MediaError(f"{element.name} is a float of {size} bytes", offset=offset)
    if element.type == "d" and size not in (0, 8):
        raise MediaError(f"{element.name} is a date of {size} bytes", offset=offset)


def leaf_value(element: Element, data: bytes) -> Any:
    """The value of a leaf (RFC 8794, section 7; an empty one has its default, section 6.1)."""
    if element.type == "b":
        return data
    if not data and element.default is not None:
        return {"u": int, "f": float}.get(element.type, str)(element.default)
    if element.type in "uid":
        return int.from_bytes(data, "big", signed=element.type != "u")
    if element.type == "f":
        return struct.unpack(">f" if len(data) == 4 else ">d", data)[0] if data else 0.0
    return data.split(b"\0")[0].decode("utf-8", "replace")


def vint(data: bytes, pos: int) -> tuple[int, int] | None:
    """The number at ``pos`` without its marker, and where it ends; None if it is broken or not whole."""
    if pos >= len(data) or data[pos] == 0:
        return None
    width = 9 - data[pos].bit_length()
    if pos + width > len(data):
        return None
    marker = 1 << (7 * width)
    return int.from_bytes(data[pos : pos + width], "big") ^ marker, pos + width


def split_lace(data: bytes, kind: int) -> list[bytes] | None:
    """The frames of a lace (RFC 9559, section 10.3); kind 1 Xiph, 2 fixed, 3 EBML. None: impossible."""
    if not data:
        return None
    count, pos, sizes = data[0] + 1, 1, list[int]()
    if kind == 2:
        size, rest = divmod(len(data) - 1, count)
        if rest:
            return None
        sizes = [size] * (count - 1)
    for i in range(0 if kind == 2 else count - 1):
        if kind == 1:
            size = 0
            while True:
                if pos >= len(data):
                    return None
                size += data[pos]
                pos += 1
                if data[pos - 1] < 255:
                    break
        else:
            read = vint(data, pos)
            if read is None:
                return None
            size, width = read[0], read[1] - pos
            if i > 0:
                size += sizes[-1] - (2 ** (7 * width - 1) - 1)
            pos += width
        if size < 0:
            return None
        sizes.append(size)
    frames = []
    for size in sizes:
        frames.append(data[pos : pos + size])
        pos += size
    return None if pos > len(data) else [*frames, data[pos:]]


def read_info(node: Node | None, doc_type: str) -> SegmentInfo:
    node = node or Node("Info", 0, 0)
    scale = node.first("TimestampScale", 1_000_000)
    date, duration = node.first("DateUTC"), node.first("Duration")
    duration_ns = None
    if duration is not None and math.isfinite(duration) and 0 <= duration * scale < INT64_MAX:
        duration_ns = round(duration * scale)
    return SegmentInfo(
        doc_type=doc_type,
        timestamp_scale_ns=scale,
        title=node.first("Title", ""),
        muxing_app=node.first("MuxingApp", ""),
        writing_app=node.first("WritingApp", ""),
        segment_uuid=node.first("SegmentUUID"),
        date_utc=None if date is None else MILLENNIUM + timedelta(microseconds=date // 1000),
        duration_ns=duration_ns,
    )


def _fill(cls: type, node: Node, names: dict[str, str], **more: Any) -> Any:
    """An object of ``cls`` with the fields that the media tells; the others keep the model's default."""
    found = {key: node.first(name) for key, name in names.items()}
    return cls(**{key: value for key, value in found.items() if value is not None}, **more)


def _words(cls: type, *without: str) -> dict[str, str]:
    """Field name -> element name, where one is only the spelling of the other: pixel_width -> PixelWidth."""
    names = [each.name for each in dataclasses.fields(cls) if each.name not in without]
    return {name: "".join(word.capitalize() for word in name.split("_")) for name in names}


_MASTERING = _words(MasteringMetadata)
_COLOUR = _words(Colour, "mastering_metadata") | {"max_cll": "MaxCLL", "max_fall": "MaxFALL"}
_VIDEO = _words(VideoTrack, "colour", "projection") | {"uncompressed_fourcc": "UncompressedFourCC"}
_AUDIO = _words(AudioTrack)
_PROJECTION = {
    "type": "ProjectionType",
    "private": "ProjectionPrivate",
    "pose_yaw": "ProjectionPoseYaw",
    "pose_pitch": "ProjectionPosePitch",
    "pose_roll": "ProjectionPoseRoll",
}
_TRACK = {
    "number": "TrackNumber",
    "uid": "TrackUID",
    "type": "TrackType",
    "codec_id": "CodecID",
    "name": "Name",
    "codec_name": "CodecName",
    "codec_delay_ns": "CodecDelay",
    "seek_pre_roll_ns": "SeekPreRoll",
    "timestamp_scale": "TrackTimestampScale",
    "max_block_addition_id": "MaxBlockAdditionID",
}
_FLAGS = {name: words for name, words in _words(Track).items() if name.startswith("flag_")}

#: Masters that somebody reads. The others are stepped over with all that they hold, if their size is known.
READ_MASTERS = set(
    """
    EBML Segment Info Tracks TrackEntry Video Colour MasteringMetadata Projection Audio ContentEncodings
    ContentEncoding ContentCompression ContentEncryption ContentEncAESSettings Cluster BlockGroup
    BlockAdditions BlockMore Tags Tag Targets SimpleTag
    """.split()  # noqa: SIM905
)


def _read_video(node: Node) -> VideoTrack:
    colour, projection = node.first("Colour"), node.first("Projection")
    if colour is not None:
        mastering = colour.first("MasteringMetadata")
        told = None if mastering is None else _fill(MasteringMetadata, mastering, _MASTERING)
        colour = _fill(Colour, colour, _COLOUR, mastering_metadata=told)
    if projection is not None:
        projection = _fill(Projection, projection, _PROJECTION)
    video: VideoTrack = _fill(VideoTrack, node, _VIDEO, colour=colour, projection=projection)
    return video


def _read_encoding(node: Node) -> ContentEncoding:
    compression = node.first("ContentCompression", Node("", 0, 0))
    encryption = node.first("ContentEncryption", Node("", 0, 0))
    aes = encryption.first("ContentEncAESSettings", Node("", 0, 0))
    return ContentEncoding(
        order=node.first("ContentEncodingOrder", 0),
        scope=node.first("ContentEncodingScope", 1),
        type=node.first("ContentEncodingType", 0),
        comp_algo=compression.first("ContentCompAlgo", 0),
        comp_settings=compression.first("ContentCompSettings", b""),
        enc_algo=encryption.first("ContentEncAlgo", 0),
        enc_key_id=encryption.first("ContentEncKeyID"),
        aes_cipher_mode=aes.first("AESSettingsCipherMode"),
    )


def undo_encodings(
    data: bytes, encodings: Sequence[ContentEncoding], scope: int, most: int, offset: int
) -> bytes | None:
    """``data`` with every step of this scope undone, the highest order first; None if one is not supported.

    Scope 1: frames, 2: CodecPrivate (RFC 9559, section 5.1.4.1.31).
    """
    steps = [step for step in encodings if step.scope & scope]
    if not all(step.supported for step in steps):
        return None
    for step in sorted(steps, key=lambda step: step.order, reverse=True):
        if step.comp_algo == 3:
            data = step.comp_settings + data
        else:
            decompressor = zlib.decompressobj()
            try:
                data = decompressor.decompress(data, most + 1)
            except zlib.error as error:
                raise MediaError(f"broken zlib data: {error}", offset=offset) from None
            if not decompressor.eof and len(data) <= most:
                raise MediaError("zlib data without end", offset=offset)
        if len(data) > most:
            raise LimitExceeded(
                "too much", name="max_block_size", declared=len(data), limit=most, offset=offset
            )
    return data


def read_tracks(node: Node, limits: Limits) -> Tracks:
    return Tracks(_read_track(entry, limits, node.offset) for entry in node.all("TrackEntry"))


def _read_track(node: Node, limits: Limits, offset: int) -> Track:
    """One TrackEntry. Its number is mandatory, its scale above 0 (RFC 9559, section 5.1.4.1)."""
    if not node.first("TrackNumber"):
        raise MediaError("TrackNumber is 0 or not there", offset=offset)
    if not 0 < node.first("TrackTimestampScale", 1.0) < math.inf:
        raise MediaError("TrackTimestampScale is not above 0", offset=offset)
    flags = {name: node.first(words) for name, words in _FLAGS.items()}
    video, audio, private = node.first("Video"), node.first("Audio"), node.first("CodecPrivate")
    written = node.first("ContentEncodings", Node("", 0, 0)).all("ContentEncoding")
    encodings = tuple(map(_read_encoding, written))
    if private is not None:
        decoded = undo_encodings(private, encodings, 2, limits.max_block_size, offset)
        private = private if decoded is None else decoded
    track: Track = _fill(
        Track,
        node,
        _TRACK,
        language=node.first("LanguageBCP47", node.first("Language", "eng")),
        codec_private=private,
        default_duration_ns=node.first("DefaultDuration"),
        default_decoded_field_duration_ns=node.first("DefaultDecodedFieldDuration"),
        video=None if video is None else _read_video(video),
        audio=None if audio is None else _fill(AudioTrack, audio, _AUDIO),
        content_encodings=encodings,
        **{name: bool(value) for name, value in flags.items() if value is not None},
    )
    return track


def _read_simple_tag(node: Node, target: int, uids: tuple[int, ...]) -> Tag:
    return Tag(
        name=node.first("TagName", ""),
        value=node.first("TagString"),
        binary=node.first("TagBinary"),
        language=node.first("TagLanguageBCP47", node.first("TagLanguage", "und")),
        is_default=node.first("TagDefault", 1) != 0,
        target_type_value=target,
        track_uids=uids,
        children=tuple(_read_simple_tag(child, target, uids) for child in node.all("SimpleTag")),
    )


_DECIMAL = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?", re.ASCII)


def _milliseconds(tag: Tag, offset: int) -> int:
    """Decimal seconds (further digits are dropped), or for MILLIS_BEHIND_NOW whole milliseconds."""
    match = _DECIMAL.fullmatch(tag.value or "")
    is_behind = SERVICE_TAGS[tag.name] == "millis_behind_now"
    if match is None or (is_behind and match[3]):
        raise MediaError(f"{tag.name} is not a decimal number", offset=offset)
    places = 0 if is_behind else 3
    value = int(match[1] + match[2] + (match[3] or "").ljust(places, "0")[:places])
    if not -INT64_MAX - 1 <= value <= INT64_MAX:
        raise MediaError(f"{tag.name} is beyond 64 bits", offset=offset)
    return value


def read_tag(node: Node) -> tuple[Tags, dict[str, Any]]:
    """The producer's SimpleTags of a Tag, and what the service says: field of SERVICE_TAGS -> value.

    An empty number, token or error says nothing.
    """
    targets = node.first("Targets", Node("", 0, 0))
    target, uids = targets.first("TargetTypeValue", 50), tuple(targets.all("TagTrackUID"))
    producer: list[Tag] = []
    service: dict[str, Any] = {}
    for simple in node.all("SimpleTag"):
        tag = _read_simple_tag(simple, target, uids)
        field = SERVICE_TAGS.get(tag.name)
        if field is None:
            producer.append(tag)
        elif tag.value is not None and field in (
            "server_timestamp",
            "producer_timestamp",
            "millis_behind_now",
        ):
            service[field] = _milliseconds(tag, node.offset)
        elif tag.value:
            service[field] = tag.value
    return Tags(producer), service
