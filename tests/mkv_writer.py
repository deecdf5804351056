"""A writer of test media: small functions that return bytes, in the spelling of RFC 9559.

Everything is made of :func:`leaf` and :func:`master`, which take any element by its name. ``width`` is
always the width of a size field in bytes (0: the shortest that fits), ``unknown`` the width of an unknown
size (0: a known one).

    segment(info(), tracks(track_entry(1)), cluster(0, simple_block(1, 0, b"frame", keyframe=True)))

:func:`service_fragment`, :func:`error_document` and :func:`connect_fragment` write documents as the service
does.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from tests.matroska_elements import BY_NAME

Value = int | float | str | bytes | datetime

MILLENNIUM = datetime(2001, 1, 1, tzinfo=UTC)

# --- EBML: RFC 8794 ---


def vint(value: int, width: int = 0) -> bytes:
    """A VINT, of the shortest width in which its bits are not all ones, for that means unknown."""
    width = width or next(n for n in range(1, 9) if value < (1 << 7 * n) - 1)
    if value > (1 << 7 * width) - 1:
        raise ValueError(f"{value} does not fit a VINT of {width} bytes")
    return (value | 1 << 7 * width).to_bytes(width, "big")


def unknown_size(width: int = 8) -> bytes:
    """The size field of an element whose size is not known."""
    return vint((1 << 7 * width) - 1, width)


def element(name: str | bytes, *content: bytes, width: int = 0, unknown: int = 0) -> bytes:
    """An element with this content. ``name``: of RFC 9559, or an ID as bytes."""
    identifier = name if isinstance(name, bytes) else BY_NAME[name].id
    data = b"".join(content)
    return identifier + (unknown_size(unknown) if unknown else vint(len(data), width)) + data


def encode(name: str, value: Value, length: int | None = None) -> bytes:
    """The data of a leaf. ``length`` in bytes: integers get padded, floats have 4 or 8, strings get NULs."""
    kind = BY_NAME[name].type
    if isinstance(value, datetime):
        value, length = int((value - MILLENNIUM) / timedelta(microseconds=1)) * 1000, 8
    if kind == "f":
        return struct.pack(">f" if length == 4 else ">d", value)
    if isinstance(value, int):
        shortest = max(1, (value.bit_length() + (7 if kind == "u" else 8)) // 8)
        return value.to_bytes(shortest if length is None else length, "big", signed=kind != "u")
    data = value.encode() if isinstance(value, str) else value
    assert isinstance(data, bytes), f"{name} is no float"
    return data.ljust(length or 0, b"\0")


def leaf(name: str, value: Value, *, length: int | None = None, width: int = 0) -> bytes:
    """A leaf with its value."""
    return element(name, encode(name, value, length), width=width)


def content(leaves: Mapping[str, Value | None], children: Iterable[bytes], crc: bool = False) -> bytes:
    """What a master holds: a CRC-32 if wanted, the leaves that are not None, the children."""
    data = b"".join([*(leaf(name, value) for name, value in leaves.items() if value is not None), *children])
    return crc32(data) + data if crc else data


def master(
    name: str, *children: bytes, width: int = 0, unknown: int = 0, crc: bool = False, **leaves: Value | None
) -> bytes:
    """A master of an optional CRC-32, the leaves that are not None and the children.

    >>> master("Audio", Channels=2).hex()
    'e1839f8102'
    """
    return element(name, content(leaves, children, crc), width=width, unknown=unknown)


def void(size: int, *, width: int = 0, fill: bytes = b"\0") -> bytes:
    """A Void element with ``size`` bytes of data."""
    return element("Void", (fill * size)[:size], width=width)


def crc32(content: bytes) -> bytes:
    """The CRC-32 element that stands before ``content`` in its master (RFC 8794, section 11.3.1)."""
    return element("CRC-32", zlib.crc32(content).to_bytes(4, "little"))


def ebml_header(
    doc_type: str = "matroska",
    *children: bytes,
    width: int = 0,
    unknown: int = 0,
    crc: bool = False,
    **leaves: Value,
) -> bytes:
    """An EBML header; ``leaves`` replace or add to the usual ones, ``doc_type`` may hold NULs."""
    usual: dict[str, Value] = {
        "EBMLVersion": 1,
        "EBMLReadVersion": 1,
        "EBMLMaxIDLength": 4,
        "EBMLMaxSizeLength": 8,
        "DocType": doc_type,
        "DocTypeVersion": 4,
        "DocTypeReadVersion": 2,
    }
    return element("EBML", content(usual | leaves, children, crc), width=width, unknown=unknown)


# --- Segment: RFC 9559, section 5.1 ---


def segment(*children: bytes, width: int = 0, unknown: int = 8) -> bytes:
    """A Segment; of unknown size unless ``unknown=0``."""
    return element("Segment", *children, width=width, unknown=unknown)


def info(*children: bytes, width: int = 0, unknown: int = 0, crc: bool = False, **leaves: Value) -> bytes:
    """An Info with TimestampScale, MuxingApp and WritingApp unless ``leaves`` says otherwise."""
    usual: dict[str, Value] = {
        "TimestampScale": 1_000_000,
        "MuxingApp": "mkv_writer",
        "WritingApp": "mkv_writer",
    }
    return element("Info", content(usual | leaves, children, crc), width=width, unknown=unknown)


def tracks(*entries: bytes, width: int = 0, unknown: int = 0, crc: bool = False) -> bytes:
    """Tracks of ready TrackEntries."""
    return master("Tracks", *entries, width=width, unknown=unknown, crc=crc)


def track_entry(number: int, *children: bytes, width: int = 0, unknown: int = 0, **leaves: Value) -> bytes:
    """A TrackEntry: H.264 unless ``leaves`` says otherwise. Children: Video, Audio, ContentEncodings ..."""
    usual: dict[str, Value] = {
        "TrackNumber": number,
        "TrackUID": number,
        "TrackType": 1,
        "CodecID": "V_MPEG4/ISO/AVC",
    }
    return element("TrackEntry", content(usual | leaves, children), width=width, unknown=unknown)


def content_encodings(*steps: bytes, width: int = 0) -> bytes:
    """ContentEncodings of steps made by :func:`compression` and :func:`encryption`."""
    return master("ContentEncodings", *steps, width=width)


def compression(algo: int | None = None, settings: bytes | None = None, **leaves: Value) -> bytes:
    """A compression step: algo 0 zlib, 3 header stripping (then ``settings`` are the stripped bytes)."""
    inner = master("ContentCompression", ContentCompAlgo=algo, ContentCompSettings=settings)
    return element("ContentEncoding", content(leaves, [inner]))


def encryption(algo: int = 5, key_id: bytes = b"key", cipher_mode: int = 1, **leaves: Value) -> bytes:
    """An encryption step (AES by default)."""
    aes = master("ContentEncAESSettings", AESSettingsCipherMode=cipher_mode)
    inner = master("ContentEncryption", aes, ContentEncAlgo=algo, ContentEncKeyID=key_id)
    return element("ContentEncoding", content({"ContentEncodingType": 1, **leaves}, [inner]))


# --- Clusters and blocks: RFC 9559, sections 5.1.3 and 10 ---


def cluster(
    timestamp: int | None,
    *children: bytes,
    width: int = 0,
    unknown: int = 0,
    crc: bool = False,
    timestamp_length: int | None = None,
) -> bytes:
    """A Cluster. ``timestamp=None``: without one."""
    time = b"" if timestamp is None else leaf("Timestamp", timestamp, length=timestamp_length)
    return master("Cluster", time, *children, width=width, unknown=unknown, crc=crc)


LACINGS = {None: 0, "xiph": 1, "fixed": 2, "ebml": 3}


def lace(frames: Sequence[bytes], lacing: str) -> bytes:
    """The lace head and the frames (RFC 9559, section 10.3)."""
    sizes = [len(frame) for frame in frames]
    head = bytes([len(frames) - 1])
    if lacing == "xiph":
        head += b"".join(b"\xff" * (size // 255) + bytes([size % 255]) for size in sizes[:-1])
    elif lacing == "ebml":
        for i, size in enumerate(sizes[:-1]):
            head += signed_vint(size - sizes[i - 1]) if i else vint(size)
    elif len(set(sizes)) > 1:
        raise ValueError(f"fixed lacing of frames of {sizes} bytes")
    return head + b"".join(frames)


def signed_vint(value: int, width: int = 0) -> bytes:
    """A size difference in an EBML lace (RFC 9559, section 10.3.3)."""
    width = width or next(n for n in range(1, 9) if abs(value) < 1 << 7 * n - 1)
    return vint(value + (1 << 7 * width - 1) - 1, width)


def block(
    track: int,
    time: int,
    frames: bytes | Sequence[bytes],
    *,
    lacing: str | None = None,
    flags: int = 0,
    track_width: int = 0,
) -> bytes:
    """The data of a SimpleBlock or Block. ``time``: relative to the Cluster, in ticks of the track.

    ``lacing``: "xiph", "fixed" or "ebml", then ``frames`` is a sequence; with None it is one frame.
    """
    if isinstance(frames, bytes | bytearray | memoryview):
        payload = bytes(frames)
    else:
        payload = lace(frames, lacing) if lacing else b"".join(frames)
    # Track numbers have no unknown value, so that 127 fits one byte.
    width = track_width or next(n for n in range(1, 9) if track < 1 << 7 * n)
    return vint(track, width) + struct.pack(">hB", time, flags | LACINGS[lacing] << 1) + payload


def simple_block(
    track: int,
    time: int,
    frames: bytes | Sequence[bytes],
    *,
    keyframe: bool = False,
    invisible: bool = False,
    discardable: bool = False,
    lacing: str | None = None,
    track_width: int = 0,
    width: int = 0,
) -> bytes:
    """A SimpleBlock (RFC 9559, section 10.2)."""
    flags = 0x80 * keyframe | 0x08 * invisible | 0x01 * discardable
    return element(
        "SimpleBlock",
        block(track, time, frames, lacing=lacing, flags=flags, track_width=track_width),
        width=width,
    )


def block_group(
    track: int,
    time: int,
    frames: bytes | Sequence[bytes],
    *children: bytes,
    lacing: str | None = None,
    invisible: bool = False,
    duration: int | None = None,
    references: Sequence[int] = (),
    additions: Sequence[tuple[int | None, bytes]] = (),
    discard_padding: int | None = None,
    width: int = 0,
) -> bytes:
    """A BlockGroup. ``references``: ReferenceBlocks; ``additions``: BlockAddIDs (None: left out), data."""
    inside = [element("Block", block(track, time, frames, lacing=lacing, flags=0x08 * invisible))]
    if duration is not None:
        inside.append(leaf("BlockDuration", duration))
    inside += [leaf("ReferenceBlock", reference) for reference in references]
    if discard_padding is not None:
        inside.append(leaf("DiscardPadding", discard_padding))
    if additions:
        more = [master("BlockMore", BlockAddID=key, BlockAdditional=data) for key, data in additions]
        inside.append(master("BlockAdditions", *more))
    return master("BlockGroup", *inside, *children, width=width)


# --- Tags: RFC 9559, section 5.1.8 ---


def simple_tag(
    name: str | None,
    value: str | bytes | None = None,
    *children: bytes,
    binary: bytes | None = None,
    width: int = 0,
    **leaves: Value,
) -> bytes:
    """A SimpleTag; ``children``: SimpleTags in it. ``width``: of its size field and of its leaves'."""
    inside = [leaf(key, text, width=width) for key, text in leaves.items()]
    if value is not None:
        inside.insert(0, leaf("TagString", value, width=width))
    if name is not None:
        inside.insert(0, leaf("TagName", name, width=width))
    if binary is not None:
        inside.append(leaf("TagBinary", binary, width=width))
    return element("SimpleTag", *inside, *children, width=width)


def tag(*children: bytes, width: int = 0, unknown: int = 0) -> bytes:
    """A Tag of Targets (if any) and SimpleTags."""
    return element("Tag", *children, width=width, unknown=unknown)


def targets(*track_uids: int, target_type_value: int | None = None) -> bytes:
    """The Targets of a Tag."""
    uids = [leaf("TagTrackUID", uid) for uid in track_uids]
    return master("Targets", *uids, TargetTypeValue=target_type_value)


def tags(*pairs: tuple[str, str] | bytes, width: int = 0, unknown: int = 0, crc: bool = False) -> bytes:
    """A Tags with one Tag: of name and value pairs, or of ready elements."""
    inside = [simple_tag(*each, width=width) if isinstance(each, tuple) else each for each in pairs]
    return master("Tags", tag(*inside, width=width), width=width, unknown=unknown, crc=crc)


# --- The service's own documents (GetMedia, API reference; layout as captured) ---

AWS = "AWS_KINESISVIDEO_"
SERVER_MS = 1_511_852_109_126
PRODUCER_MS = 1_511_852_108_513


def fragment_number(sequence: int = 1, server_ms: int = SERVER_MS, salt: int = 0xABCDEF) -> str:
    """A fragment number as the service composes them: 47 digits with the server's time inside."""
    return str(1 << 156 | sequence << 92 | server_ms << 28 | salt)


def seconds(milliseconds: int | str) -> str:
    """The service's form of a timestamp. Text is left as it is."""
    if isinstance(milliseconds, str):
        return milliseconds
    sign, whole = ("-", -milliseconds) if milliseconds < 0 else ("", milliseconds)
    return f"{sign}{whole // 1000}.{whole % 1000:03d}"


def service_tags(**values: str) -> bytes:
    """A Tags as the service writes it: one Tag, no Targets, sizes in four bytes. Names have no prefix."""
    return tags(*((AWS + name, value) for name, value in values.items()), width=4)


def head_tags(number: str, server_ms: int | str = SERVER_MS, producer_ms: int | str = PRODUCER_MS) -> bytes:
    """What the service puts before the Cluster."""
    return service_tags(
        FRAGMENT_NUMBER=number, SERVER_TIMESTAMP=seconds(server_ms), PRODUCER_TIMESTAMP=seconds(producer_ms)
    )


def trailer_tags(token: str, behind: int | str = 15858) -> bytes:
    """What the service puts after the Cluster, last in the document."""
    return service_tags(MILLIS_BEHIND_NOW=str(behind), CONTINUATION_TOKEN=token)


class Block(NamedTuple):
    """A frame for :func:`service_fragment`. ``time``: relative to the Cluster, in milliseconds."""

    data: bytes
    time: int = 0
    track: int = 1
    keyframe: bool = False


VIDEO_TRACKS = tracks(
    track_entry(1, master("Video", PixelWidth=640, PixelHeight=360), CodecPrivate=b"\1d\0\x1e")
)


def service_fragment(
    number: str | None = None,
    *,
    sequence: int = 1,
    server_ms: int | str = SERVER_MS,
    producer_ms: int | str = PRODUCER_MS,
    behind: int | str = 15858,
    token: str | None = "",
    frames: Iterable[Block | bytes] = (Block(b"frame", keyframe=True),),
    timestamp: int | None = 0,
    header: bytes = ebml_header("matroska\0"),
    info: bytes = info(),
    tracks: bytes = VIDEO_TRACKS,
    before_tags: Iterable[tuple[str, str] | bytes] = (),
    after_tags: Iterable[tuple[str, str] | bytes] = (),
    cluster_unknown: bool = True,
    cluster_width: int = 0,
    cluster_crc: bool = False,
    wide: bool = False,
    segment_unknown: int = 8,
) -> bytes:
    """One fragment as GetMedia sends it: a document of its own.

    ``token``: "" is the fragment's number, as the service has it; None leaves the trailer out (as
    GetMediaForFragmentList does). ``before_tags`` and ``after_tags``: of the producer, each pair in a Tags
    of its own, or ready elements. ``wide``: the producer is the KVS SDK, which gives SimpleBlock and Tags
    sizes of 8 bytes. ``cluster_unknown``: a Cluster of unknown size (one byte, as that SDK has it), else of
    a known one. ``timestamp=None``: no Cluster at all.
    """
    if number is None:
        number = fragment_number(sequence, server_ms if isinstance(server_ms, int) else SERVER_MS)
    wide_width = 8 if wide else 0

    def own_tags(each: tuple[str, str] | bytes) -> bytes:
        return tags(each, width=wide_width) if isinstance(each, tuple) else each

    def own_block(each: Block | bytes) -> bytes:
        if isinstance(each, bytes):
            return each
        return simple_block(each.track, each.time, each.data, keyframe=each.keyframe, width=wide_width)

    children = [info, tracks, *map(own_tags, before_tags), head_tags(number, server_ms, producer_ms)]
    if timestamp is not None:
        blocks = map(own_block, frames)
        children.append(
            cluster(
                timestamp, *blocks, width=cluster_width, unknown=1 if cluster_unknown else 0, crc=cluster_crc
            )
        )
    children += map(own_tags, after_tags)
    if token is not None:
        children.append(trailer_tags(token or number, behind))
    return header + segment(*children, unknown=segment_unknown)


def error_document(
    code: str | None = "FRAGMENT_NOT_FOUND",
    error_id: int | str | None = 3000,
    number: str | None = None,
    *,
    header: bytes = ebml_header("matroska\0"),
) -> bytes:
    """An error as the service writes it into the media: nothing but Tags in a Segment."""
    values: dict[str, str] = {}
    if code is not None:
        values["ERROR_CODE"] = code
    if error_id is not None:
        values["ERROR_ID"] = str(error_id)
    if number is not None:
        values["FRAGMENT_NUMBER"] = number
    return header + segment(service_tags(**values))


CONNECT_TRACKS = ("AUDIO_FROM_CUSTOMER", "AUDIO_TO_CUSTOMER")


def connect_fragment(
    number: str | None = None,
    *,
    sequence: int = 1,
    server_ms: int = 1_726_677_688_758,
    producer_ms: int = 1_726_677_688_724,
    contact_id: str | None = "11111111-2222-3333-4444-555555555555",
    track_names: Sequence[str] = CONNECT_TRACKS,
    frames: Iterable[Block | bytes] | None = None,
    token: str | None = "",
    behind: int | str = 1200,
) -> bytes:
    """A fragment of Amazon Connect: two tracks of 8 kHz PCM that call themselves A_AAC, told apart by Name.

    The Cluster's Timestamp is epoch time; frames of 1,024 bytes (64 ms) alternate between the tracks.
    """
    entries = [
        track_entry(i, TrackType=2, CodecID="A_AAC", Name=name, CodecPrivate=b"\x15\x88")
        for i, name in enumerate(track_names, 1)
    ]
    if frames is None:
        frames = [
            Block(bytes([track]) * 1024, 64 * i, track, True)
            for i in range(17)
            for track in range(1, len(entries) + 1)
        ]
    identity = [("ContactId", contact_id)] if contact_id is not None else []
    return service_fragment(
        number,
        sequence=sequence,
        server_ms=server_ms,
        producer_ms=producer_ms,
        token=token,
        behind=behind,
        frames=frames,
        timestamp=producer_ms,
        info=info(MuxingApp="Kinesis Video SDK\0", WritingApp="Kinesis Video SDK\0"),
        tracks=tracks(*entries),
        after_tags=[
            *identity,
            ("InstanceId", "99999999-8888-7777-6666-555555555555"),
            ("MimeType", "audio/L16;rate=8000;channels=1;"),
            *((name, str(i)) for i, name in enumerate(track_names, 1)),
        ],
        wide=True,
    )
