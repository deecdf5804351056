"""kvsfast against a second reader: every frame of real media as ffprobe shows its packets."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

import kvsfast
from kvsfast import Frame
from tests.ffmpeg_tools import Packet, has_encoder, make_media, needs_ffmpeg, packets, raw_stream
from tests.mkv_writer import (
    block_group,
    cluster,
    ebml_header,
    info,
    master,
    segment,
    simple_block,
    track_entry,
    tracks,
)

pytestmark = needs_ffmpeg

CAPTURES = sorted(Path("../shared/data").glob("*/*.mkv"))
WITHOUT_CLUSTER = "test_tags_empty_cluster.mkv"


def by_stream(path: Path) -> dict[int, list[Packet]]:
    shown = defaultdict(list)
    for packet in packets(path):
        shown[packet.stream].append(packet)
    return dict(shown)


def read(path: Path) -> dict[int, list[Frame]]:
    """Frames by the place of their track, as ffprobe numbers its streams."""
    frames = defaultdict(list)
    for frame in kvsfast.parse(path).frames():
        numbers = [track.number for track in frame.fragment.tracks]
        frames[numbers.index(frame.track_number)].append(frame)
    return dict(frames)


def assert_as_ffprobe(path: Path) -> dict[int, list[Frame]]:
    """Count, sizes, key flags and times, track by track. ffprobe's clock ticks in milliseconds."""
    frames, shown = read(path), by_stream(path)
    assert frames.keys() == shown.keys()
    for stream, expected in shown.items():
        assert [frame.size for frame in frames[stream]] == [packet.size for packet in expected]
        assert [frame.is_keyframe for frame in frames[stream]] == [packet.is_keyframe for packet in expected]
        timed = 0
        for i, (frame, packet) in enumerate(zip(frames[stream], expected, strict=True)):
            if packet.pts_ms is not None:
                # A CodecDelay that is no whole number of milliseconds is rounded there and exact here.
                assert abs(frame.media_time_ns - packet.pts_ms * 1e6) <= 500_001, (
                    f"stream {stream}, packet {i}"
                )
                timed += 1
        assert timed * 5 >= len(expected), "ffprobe tells too few times to compare"
    return frames


# -- captures ----------------------------------------------------------------------------------------------


@pytest.mark.skipif(not CAPTURES, reason="no captures at ../shared/data")
@pytest.mark.parametrize(
    "path", [path for path in CAPTURES if path.name != WITHOUT_CLUSTER], ids=lambda path: path.name
)
def test_captures(path: Path) -> None:
    frames = assert_as_ffprobe(path)
    for stream, own in frames.items():
        if own[0].track is not None and own[0].track.codec_id == "V_MPEG4/ISO/AVC":
            # ffmpeg writes AVC as it is stored when it copies it to raw data.
            assert raw_stream(path, stream) == b"".join(map(bytes, own))


# -- made by ffmpeg ----------------------------------------------------------------------------------------

PICTURES = ("-f", "lavfi", "-i", "testsrc=size=160x120:rate=25:duration=2")
SOUND = ("-f", "lavfi", "-i", "sine=frequency=440:duration=2")
H264 = ("-c:v", "libx264", "-g", "10", "-bf", "2")
QUIET = ("-x265-params", "log-level=none")

MADE = {
    "H.264 and AAC": (("libx264", "aac"), (*PICTURES, *SOUND, *H264, "-c:a", "aac", "-f", "matroska")),
    "H.264, live": (("libx264",), (*PICTURES, *H264, "-live", "1", "-f", "matroska")),
    "H.264 and AAC, live": (
        ("libx264", "aac"),
        (
            *PICTURES,
            *SOUND,
            *H264,
            "-c:a",
            "aac",
            "-live",
            "1",
            "-cluster_time_limit",
            "300",
            "-f",
            "matroska",
        ),
    ),
    "H.265": (("libx265",), (*PICTURES, "-c:v", "libx265", *QUIET, "-f", "matroska")),
    "Opus": (("libopus",), (*SOUND, "-c:a", "libopus", "-f", "matroska")),
    "WebM: VP8 and Opus": (
        ("libvpx", "libopus"),
        (*PICTURES, *SOUND, "-c:v", "libvpx", "-c:a", "libopus", "-f", "webm"),
    ),
    "WebM: VP9": (("libvpx-vp9",), (*PICTURES, "-c:v", "libvpx-vp9", "-cpu-used", "8", "-f", "webm")),
    "PCM": (("pcm_s16le",), (*SOUND, "-c:a", "pcm_s16le", "-f", "matroska")),
}


@pytest.mark.parametrize("name", MADE)
def test_made_by_ffmpeg(name: str, tmp_path: Path) -> None:
    encoders, arguments = MADE[name]
    for encoder in encoders:
        if not has_encoder(encoder):
            pytest.skip(f"this ffmpeg has no {encoder}")
    path = make_media(tmp_path / "made.mkv", *arguments)
    frames = assert_as_ffprobe(path)
    (start, *_) = [
        event for event in kvsfast.parse(path).events() if isinstance(event, kvsfast.FragmentStart)
    ]
    assert start.info.doc_type == ("webm" if name.startswith("WebM") else "matroska")
    assert len(frames) == len(encoders) == len(start.tracks)
    for stream, own in frames.items():
        assert own[0].is_keyframe
        assert len(own) >= 40, f"stream {stream}"


def test_opus_begins_before_zero(tmp_path: Path) -> None:
    """CodecDelay is taken off: the first packet is there to warm the decoder up."""
    if not has_encoder("libopus"):
        pytest.skip("this ffmpeg has no libopus")
    path = make_media(tmp_path / "made.webm", *SOUND, "-c:a", "libopus", "-f", "webm")
    first = next(kvsfast.parse(path.read_bytes()).frames())
    assert first.track is not None
    assert first.media_time_ns == -first.track.codec_delay_ns < 0


# -- laced audio by the tests' own writer ------------------------------------------------------------------

AUDIO = master("Audio", SamplingFrequency=8000.0, Channels=1, BitDepth=16)
LACES: list[tuple[str, list[int]]] = [
    ("xiph", [40, 254, 256, 510, 2, 512]),
    ("ebml", [40, 300, 126, 128, 9000, 2]),
    ("fixed", [160] * 4),
]


@pytest.mark.parametrize("group", [False, True], ids=["SimpleBlock", "BlockGroup"])
@pytest.mark.parametrize(("lacing", "sizes"), LACES, ids=[lacing for lacing, _ in LACES])
def test_laced_audio(lacing: str, sizes: list[int], group: bool, tmp_path: Path) -> None:
    sent = [bytes([i + 1, 0]) * (size // 2) for i, size in enumerate(sizes)]
    entry = track_entry(1, AUDIO, CodecID="A_PCM/INT/LIT", TrackType=2, DefaultDuration=20_000_000)
    blocks = [
        block_group(1, time, sent, lacing=lacing)
        if group
        else simple_block(1, time, sent, keyframe=True, lacing=lacing)
        for time in range(0, 1000, 20 * len(sent))
    ]
    path = tmp_path / "laced.mkv"
    path.write_bytes(ebml_header() + segment(info(), tracks(entry), cluster(100, *blocks)))
    (frames,) = assert_as_ffprobe(path).values()
    assert [bytes(frame) for frame in frames] == sent * len(blocks)
    assert [frame.media_time_ns for frame in frames] == [
        (100 + 20 * i) * 1_000_000 for i in range(len(sent) * len(blocks))
    ]
    assert all(frame.is_laced and not frame.is_estimated for frame in frames)
    assert raw_stream(path) == b"".join(sent) * len(blocks)
