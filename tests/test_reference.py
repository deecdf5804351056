"""The test tools tested: the reference parser against real captures and ffprobe, the writer against both."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import hostile, reference
from tests.event_values import End, Event, Frame, Late, Raised, Start
from tests.ffmpeg_tools import has_encoder, make_media, needs_ffmpeg, packets, raw_stream
from tests.mkv_writer import (
    Block,
    cluster,
    compression,
    connect_fragment,
    content_encodings,
    ebml_header,
    encryption,
    error_document,
    fragment_number,
    head_tags,
    info,
    master,
    segment,
    service_fragment,
    simple_block,
    tags,
    track_entry,
    tracks,
    trailer_tags,
    unknown_size,
    vint,
)

DATA = Path(__file__).parent / "../../shared/data"
CAPTURES = {
    name: DATA / name
    for name in (
        "getmedia/output_get_media.mkv",
        "getmedia/output-get-media-equal-timecode.mkv",
        "mkv/clusters.mkv",
        "mkv/vogels_330.mkv",
    )
}


def capture(name: str) -> bytes:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"the capture {name} is not here")
    return path.read_bytes()


def starts(events: list[Event]) -> list[Start]:
    return [event for event in events if isinstance(event, Start)]


def frames(events: list[Event]) -> list[Frame]:
    return [event for event in events if isinstance(event, Frame)]


def ends(events: list[Event]) -> list[End]:
    return [event for event in events if isinstance(event, End)]


# --- real captures ---


def test_getmedia_capture() -> None:
    events = reference.parse(capture("getmedia/output_get_media.mkv"))
    assert Counter(type(event) for event in events) == {Start: 5, Frame: 300, End: 5}
    assert [end.frame_count for end in ends(events)] == [60] * 5
    assert all(end.is_complete and end.continuation_token == end.number for end in ends(events))
    tokens = [end.continuation_token or "" for end in ends(events)]
    assert [token[-5:] for token in tokens[:3]] == ["69392", "49018", "32162"]
    assert ends(events)[0].millis_behind_now == 15858
    for start in starts(events):
        assert len(start.tags) == 7
        assert start.tracks[0].codec_id == "V_MPEG4/ISO/AVC"
        video = start.tracks[0].video
        assert video is not None and (video.pixel_width, video.pixel_height) == (640, 360)
        # The number holds the server's time (kept in bits 28 to 91), a second witness of what was parsed.
        assert int(start.number or 0) >> 28 & 2**64 - 1 == start.server_timestamp_ms
    assert starts(events)[0].producer_timestamp_ms == 1_511_852_108_513
    assert [start.cluster_timestamp for start in starts(events)] == [0, 2000, 4000, 6000, 8000]
    second = frames(events)[60]
    assert (second.timestamp_ns, second.media_time_ns) == (1_511_852_110_513_000_000, 2_000_000_000)


def test_cut_getmedia_capture() -> None:
    data = capture("getmedia/output-get-media-equal-timecode.mkv")
    events = reference.parse(data)
    assert [start.cluster_timestamp for start in starts(events)] == [0, 0]
    whole, cut = ends(events)
    assert whole.is_complete and whole.continuation_token == whole.number
    assert not cut.is_complete and cut.continuation_token is None
    assert whole.size + cut.size == len(data)
    assert reference.parse(data, strict=True)[-1] == Raised("TruncatedMedia", len(data))


def test_plain_captures() -> None:
    events = reference.parse(capture("mkv/clusters.mkv"))
    assert (len(starts(events)), len(frames(events))) == (8, 444)
    assert all(end.is_complete and end.number is None for end in ends(events))
    events = reference.parse(capture("mkv/vogels_330.mkv"))
    assert Counter(frame.track_number for frame in frames(events)) == {1: 909, 2: 1425}
    assert len(starts(events)) == 9
    audio = starts(events)[0].tracks[1].audio
    assert audio is not None and (audio.sampling_frequency, audio.channels) == (48000.0, 2)


def test_capture_without_cluster() -> None:
    events = reference.parse(capture("mkv/test_tags_empty_cluster.mkv"))
    assert [event.tags.to_dict() for event in events if isinstance(event, Late)] == [
        {f"testTag_{i}": f"testTag_{i}_Value"} for i in range(5)
    ]
    assert len(events) == 5


def assert_as_ffprobe(path: Path) -> None:
    """Streams, sizes, key flags and times of a file as ffprobe shows them (times to its millisecond)."""
    events = reference.parse(path.read_bytes())
    numbers = [track.number for track in starts(events)[0].tracks]
    parsed, shown = frames(events), packets(path)
    assert len(parsed) == len(shown) > 0
    for frame, packet in zip(parsed, shown, strict=True):
        assert (numbers.index(frame.track_number), frame.size) == (packet.stream, packet.size)
        assert frame.is_keyframe == packet.is_keyframe
        assert packet.pts_ms is None or abs(frame.media_time_ns / 1e6 - packet.pts_ms) <= 1


@needs_ffmpeg
@pytest.mark.parametrize("name", CAPTURES)
def test_captures_as_ffprobe(name: str) -> None:
    capture(name)
    assert_as_ffprobe(CAPTURES[name])


PICTURES = ("-f", "lavfi", "-i", "testsrc=size=160x120:rate=25:duration=2")
SOUND = ("-f", "lavfi", "-i", "sine=frequency=440:duration=2")


@needs_ffmpeg
@pytest.mark.parametrize(
    ("encoder", "arguments"),
    [
        (
            "libx264",
            (*PICTURES, *SOUND, "-c:v", "libx264", "-g", "10", "-bf", "2", "-c:a", "aac", "-f", "matroska"),
        ),
        ("libx264", (*PICTURES, "-c:v", "libx264", "-g", "10", "-live", "1", "-f", "matroska")),
        ("libx265", (*PICTURES, "-c:v", "libx265", "-x265-params", "log-level=none", "-f", "matroska")),
        ("libopus", (*SOUND, "-c:a", "libopus", "-f", "webm")),
    ],
    ids=["h264-aac", "h264-live", "h265", "opus"],
)
def test_ffmpeg_media_as_ffprobe(encoder: str, arguments: tuple[str, ...], tmp_path: Path) -> None:
    if not has_encoder(encoder):
        pytest.skip(f"this ffmpeg has no {encoder}")
    assert_as_ffprobe(make_media(tmp_path / "made.mkv", *arguments))


# --- the writer, read by ffprobe and by the reference ---

AUDIO = master("Audio", SamplingFrequency=8000.0, Channels=1, BitDepth=16)


def pcm_track(*children: bytes, **leaves: int) -> bytes:
    """Tracks with one track of 8 kHz PCM."""
    return tracks(track_entry(1, AUDIO, *children, CodecID="A_PCM/INT/LIT", TrackType=2, **leaves))


def pcm(*sizes: int) -> list[bytes]:
    """Frames of 16-bit samples, all different."""
    return [bytes([i + 1, 0]) * (size // 2) for i, size in enumerate(sizes)]


@needs_ffmpeg
@pytest.mark.parametrize("unknown", [0, 1, 8])
@pytest.mark.parametrize(
    ("lacing", "sizes"),
    [
        ("xiph", (40, 300, 510, 2, 512)),
        ("ebml", (40, 300, 510, 2, 9000, 512)),
        ("fixed", (160, 160, 160)),
        # A lace of one frame has no sizes; ffmpeg looks for one in an EBML lace, so that is left out.
        ("xiph", (44,)),
        ("fixed", (44,)),
        (None, (320,)),
    ],
)
def test_laces_as_ffprobe(lacing: str | None, sizes: tuple[int, ...], unknown: int, tmp_path: Path) -> None:
    sent = pcm(*sizes)
    blocks = [simple_block(1, time, sent, keyframe=True, lacing=lacing) for time in (0, 200)]
    media = cluster(100, *blocks, unknown=unknown)
    data = ebml_header() + segment(info(), pcm_track(DefaultDuration=20_000_000), media, unknown=unknown)
    path = tmp_path / "laced.mkv"
    path.write_bytes(data)
    parsed = frames(reference.parse(data))
    assert [frame.data for frame in parsed] == sent * 2
    assert [frame.media_time_ns // 1_000_000 for frame in parsed[: len(sent)]] == [
        100 + 20 * i for i in range(len(sent))
    ]
    assert all(frame.is_laced == (lacing is not None) and not frame.is_estimated for frame in parsed)
    assert [packet.size for packet in packets(path)] == [len(frame) for frame in sent * 2]
    assert raw_stream(path) == b"".join(sent * 2)


@needs_ffmpeg
@pytest.mark.parametrize(
    ("steps", "store"),
    [
        ([compression(0)], zlib.compress),
        ([compression(3, b"\1\0\1\0")], lambda frame: frame[4:]),
    ],
    ids=["zlib", "header-stripping"],
)
def test_content_encodings_as_ffmpeg(
    steps: list[bytes], store: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    sent = pcm(320)[0]
    blocks = [simple_block(1, time, store(sent)) for time in (0, 20)]
    data = ebml_header() + segment(info(), pcm_track(content_encodings(*steps)), cluster(0, *blocks))
    path = tmp_path / "encoded.mkv"
    path.write_bytes(data)
    assert [frame.data for frame in frames(reference.parse(data))] == [sent, sent]
    assert raw_stream(path) == sent * 2


def test_encodings_that_cannot_be_undone() -> None:
    for steps in (
        [encryption()],
        [compression(1)],
        [compression(3, b"ab"), encryption(ContentEncodingOrder=1)],
    ):
        entry = track_entry(1, content_encodings(*steps))
        events = reference.parse(
            ebml_header() + segment(tracks(entry), cluster(0, simple_block(1, 0, b"stored")))
        )
        assert [(frame.data, frame.is_stored) for frame in frames(events)] == [(b"stored", True)]
    # Last written, first undone; a step for CodecPrivate alone does not touch frames.
    steps = [
        compression(3, b"in", ContentEncodingOrder=0),
        compression(0, ContentEncodingOrder=1),
        compression(3, b"cp", ContentEncodingOrder=2, ContentEncodingScope=2),
    ]
    entry = track_entry(1, content_encodings(*steps))
    data = ebml_header() + segment(tracks(entry), cluster(0, simple_block(1, 0, zlib.compress(b"side"))))
    assert frames(reference.parse(data))[0].data == b"inside"


def test_sizes_and_unknown_sizes() -> None:
    assert [vint(1, width).hex() for width in (1, 2, 4)] == ["81", "4001", "10000001"]
    assert vint(127).hex() == "407f", "127 in one byte means unknown"
    assert unknown_size(1).hex() == "ff" and unknown_size(8).hex() == "01ffffffffffffff"
    with pytest.raises(ValueError, match="does not fit"):
        vint(128, 1)


def test_service_templates() -> None:
    """The byte templates of real captures, to the byte."""
    number = "91343852333181432392682062607743920146159169392"
    head, trailer = head_tags(number, 1_511_852_109_126, 1_511_852_108_513), trailer_tags(number, 15858)
    assert head.startswith(
        bytes.fromhex("1254c367 100000eb 7373 100000e5 67c8 1000005b 45a3 10000020") + b"AWS_"
    )
    assert trailer.startswith(
        bytes.fromhex("1254c367 100000a3 7373 1000009d 67c8 10000033 45a3 10000022") + b"AWS_"
    )
    error = error_document("FRAGMENT_NOT_FOUND", 3000, number)
    for size in ("39", "29", "5b"):
        assert bytes.fromhex("67c8 100000" + size) in error
    assert service_fragment(wide=True).count(bytes.fromhex("a3 01000000000000")) == 1
    assert bytes.fromhex("1853806701ffffffffffffff") in service_fragment()
    assert bytes.fromhex("1f43b675ff") in service_fragment()


def test_service_templates_are_in_the_capture() -> None:
    data = capture("getmedia/output_get_media.mkv")
    for start, end in zip(starts(reference.parse(data)), ends(reference.parse(data)), strict=True):
        assert start.number and start.server_timestamp_ms and start.producer_timestamp_ms
        assert head_tags(start.number, start.server_timestamp_ms, start.producer_timestamp_ms) in data
        assert trailer_tags(start.number, end.millis_behind_now or 0) in data


def test_service_fragment_and_its_profiles() -> None:
    number = fragment_number(7)
    events = reference.parse(
        service_fragment(
            number,
            frames=[Block(b"one", 0, keyframe=True), Block(b"two", 40)],
            before_tags=[("a", "1")],
            after_tags=[("b", "2"), ("b", "3")],
            timestamp=500,
            wide=True,
        )
    )
    start, one, two, end = events
    assert isinstance(start, Start) and isinstance(end, End)
    assert isinstance(one, Frame) and isinstance(two, Frame)
    assert (start.number, end.continuation_token, end.is_complete) == (number, number, True)
    assert start.tags.to_dict() == {"a": "1"} and end.tags.all("b") == ["2", "3"]
    assert two.timestamp_ns == 1_511_852_108_553_000_000 and two.media_time_ns == 540_000_000
    assert one.is_keyframe and not two.is_keyframe

    connect = reference.parse(connect_fragment(track_names=["AUDIO_TO_CUSTOMER", "AUDIO_FROM_CUSTOMER"]))
    first = starts(connect)[0]
    track = first.tracks.by_name("AUDIO_FROM_CUSTOMER")
    assert track is not None and (track.number, track.codec_id) == (2, "A_AAC")
    assert frames(connect)[0].timestamp_ns == frames(connect)[0].media_time_ns == 1_726_677_688_724_000_000
    assert ends(connect)[0].tags.get("MimeType") == "audio/L16;rate=8000;channels=1;"


# --- the reference with itself ---


# The two largest take it many seconds, and nothing is compared with it on them.
@pytest.mark.parametrize("name", [name for name in hostile.CASES if name[:2] not in ("01", "15")])
def test_hostile_inputs(name: str) -> None:
    case = hostile.CASES[name]
    events = reference.parse(case.data)
    raised = [event.error for event in events if isinstance(event, Raised)]
    assert len(frames(events)) == case.frames
    assert raised == ([case.error] if case.error else [])


def test_what_arrived_is_a_beginning_of_what_comes() -> None:
    """Without EOF, every beginning of the media gives a beginning of its events: nothing is taken back."""
    data = (
        service_fragment(before_tags=[("a", "1")], after_tags=[("b", "2")])
        + service_fragment(sequence=2, cluster_unknown=False)
        + error_document(number="5")
        + ebml_header()
        + segment(tags(("c", "3")), cluster(0, simple_block(1, 0, b"plain")), tags(("d", "4")))
    )
    events = reference.parse(data)
    for size in range(len(data)):
        arrived = reference.parse(data[:size], eof=False)
        assert arrived == events[: len(arrived)]
