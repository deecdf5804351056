"""Files cut into fragments."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from kvsfast.emulator.media import Media
from kvsfast.errors import MediaError
from tests.emulator import mkv

HEAD = mkv.EBML_HEADER + mkv.SEGMENT_HEADER + mkv.SEEK_HEAD + mkv.VOID + mkv.INFO + mkv.TRACKS


@pytest.mark.parametrize("unknown", [False, True])
def test_each_cluster_is_a_fragment_with_the_files_header(unknown: bool) -> None:
    media = Media(mkv.clip(3, unknown=unknown))
    assert [fragment.head for fragment in media.fragments] == [HEAD] * 3
    clusters = [mkv.cluster(200 * n, mkv.blocks(n), unknown=unknown) for n in range(3)]
    assert [bytes(fragment.body) for fragment in media.fragments] == [*clusters[:2], clusters[2] + mkv.CUES]


def test_what_stands_between_clusters_stays_behind_the_first() -> None:
    first, second = mkv.cluster(0, mkv.blocks(0)), mkv.cluster(200, mkv.blocks(1), unknown=True)
    early, middle, late = (mkv.tags(name, "x") for name in ("early", "middle", "late"))
    media = Media(
        mkv.document(mkv.INFO, mkv.TRACKS, early, first, middle, mkv.VOID, second, late, unknown=True)
    )
    assert [bytes(fragment.body) for fragment in media.fragments] == [
        first + middle + mkv.VOID,
        second + late,
    ]
    assert all(fragment.head.endswith(mkv.TRACKS + early) for fragment in media.fragments)


def test_times_of_clusters_and_blocks() -> None:
    media = Media(mkv.clip(3, start=5000))
    assert [(f.timestamp_ms, f.offset_ms, f.duration_ms) for f in media.fragments] == [
        (5000, 0, 200),
        (5200, 200, 200),
        (5400, 400, 200),
    ]
    assert media.duration_ms == 600
    first = media.fragments[0]
    assert [time for _, time in first.blocks] == [0, 40, 80, 120, 160]
    ends = [end for end, _ in first.blocks]
    payloads = [bytes(first.body[end - 300 : end]) for end in ends]
    assert payloads == mkv.frames(0)


def test_block_groups_negative_times_and_timestamp_scale() -> None:
    info = mkv.element(0x1549A966, mkv.uint(0x2AD7B1, 500_000, 3))
    blocks = [mkv.block_group(b"a", 100), mkv.simple_block(b"b", -20), mkv.block_group(b"c", 200, track=2)]
    media = Media(mkv.document(info, mkv.TRACKS, mkv.cluster(1000, blocks)))
    assert media.fragments[0].timestamp_ms == 500
    assert [time for _, time in media.fragments[0].blocks] == [50, -10, 100]


def test_times_that_repeat_or_go_back_make_no_step_back() -> None:
    clusters = [mkv.cluster(time, mkv.blocks(n)) for n, time in enumerate((1000, 1000, 400, 600))]
    media = Media(mkv.document(mkv.INFO, mkv.TRACKS, *clusters))
    assert [fragment.offset_ms for fragment in media.fragments] == [0, 200, 400, 600]


def test_a_list_is_one_file_after_the_other(tmp_path: Path) -> None:
    path = tmp_path / "second.mkv"
    path.write_bytes(mkv.clip(2, start=9000))
    media = Media([mkv.clip(3), str(path), mkv.clip(1)])
    assert [fragment.offset_ms for fragment in media.fragments] == [0, 200, 400, 600, 800, 1000]
    assert media.sessions == [0, 3, 5]
    assert Media([]).fragments == []


def test_a_recorded_response_loses_the_services_tags_and_nothing_else(data: Path) -> None:
    recorded = (data / "getmedia/output_get_media.mkv").read_bytes()
    media = Media(recorded)
    assert len(media.fragments) == 5
    kept = b"".join(fragment.head + bytes(fragment.body) for fragment in media.fragments)
    assert b"AWS_KINESISVIDEO" in recorded
    assert b"AWS_KINESISVIDEO" not in kept
    assert kept.count(b"\x1a\x45\xdf\xa3") == recorded.count(b"\x1a\x45\xdf\xa3")
    assert sum(len(fragment.blocks) for fragment in media.fragments) == 300


def test_a_cut_file_serves_what_is_whole(data: Path, caplog: pytest.LogCaptureFixture) -> None:
    clip = mkv.clip(3)
    with caplog.at_level(logging.WARNING, "kvsfast.emulator"):
        media = Media(clip[: clip.rindex(b"\x02\x04") - 50])  # inside the third Cluster
    assert [bytes(fragment.body[-300:]) for fragment in media.fragments] == [
        mkv.frames(0)[-1],
        mkv.frames(1)[-1],
    ]
    assert "cut" in caplog.text
    assert len(Media(data / "getmedia/output-get-media-equal-timecode.mkv").fragments) == 1


@pytest.mark.parametrize("unknown", [False, True])
def test_every_cut_of_a_file_gives_fragments_of_whole_blocks_or_an_error(unknown: bool) -> None:
    clip = mkv.clip(2, unknown=unknown, count=2, length=20)
    whole = [bytes(fragment.body) for fragment in Media(clip).fragments]
    served = set()
    for end in range(len(clip) + 1):
        try:
            fragments = Media(clip[:end]).fragments
        except MediaError:
            served.add(0)
            continue
        served.add(len(fragments))
        for fragment, complete in zip(fragments, whole, strict=False):
            # A Cluster of unknown size that ends between two blocks does not tell that there were more.
            assert complete.startswith(fragment.body)
            assert unknown or len(fragment.blocks) == 2
    assert served == {0, 1, 2}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 100,
        b"RIFF....WAVE",
        mkv.document(mkv.INFO, mkv.TRACKS),
        mkv.EBML_HEADER,
        mkv.SEGMENT_HEADER,
        mkv.document(mkv.INFO, mkv.element(0x1F43B675, mkv.element(0xA3, b"\x81\0"))),
        mkv.document(mkv.element(0x1654AE6B, unknown=True)),
    ],
)
def test_what_is_no_media_is_a_media_error(content: bytes) -> None:
    with pytest.raises(MediaError):
        Media(content)


def test_a_file_without_cluster_is_named(data: Path) -> None:
    with pytest.raises(MediaError, match=r"test_tags_empty_cluster\.mkv has no whole Cluster"):
        Media(data / "mkv/test_tags_empty_cluster.mkv")


def test_ffmpeg_clip(ffmpeg_clip: Path) -> None:
    media = Media(ffmpeg_clip)
    content = ffmpeg_clip.read_bytes()
    assert len(media.fragments) >= 4
    assert 3900 <= media.duration_ms <= 4200
    first = content.index(b"\x1f\x43\xb6\x75")
    assert b"".join(fragment.body for fragment in media.fragments) == content[first:]
