"""The shipped clip is what it says, and its script makes it again."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import kvsfast
from kvsfast.emulator.clip import CLIP
from kvsfast.emulator.clip.make import PICTURES_PER_SECOND, SECONDS
from tests.ffmpeg_tools import needs_ffmpeg

VIDEO, AUDIO = 1, 2


class Shape(NamedTuple):
    """What of a clip does not depend on the encoder's version."""

    tracks: list[tuple[int, int, str]]
    #: Per Cluster, of each picture: media time in ms, and whether it is a key frame.
    pictures: list[list[tuple[int, bool]]]
    sounds: int


def shape(path: Path) -> Shape:
    fragments = list(kvsfast.parse(path, strict=True).fragments())
    return Shape(
        [(track.number, track.type, track.codec_id) for track in fragments[0].tracks],
        [
            [
                (f.media_time_ns // 1_000_000, f.is_keyframe)
                for f in fragment.frames
                if f.track_number == VIDEO
            ]
            for fragment in fragments
        ],
        sum(frame.track_number == AUDIO for fragment in fragments for frame in fragment.frames),
    )


def test_a_second_per_fragment() -> None:
    tracks, pictures, sounds = shape(CLIP)
    assert tracks == [(VIDEO, 1, "V_MPEG4/ISO/AVC"), (AUDIO, 2, "A_AAC")]
    assert [len(fragment) for fragment in pictures] == [PICTURES_PER_SECOND] * SECONDS
    assert all([is_key for _, is_key in fragment] == [True] + [False] * 24 for fragment in pictures)
    times = [time for fragment in pictures for time, _ in fragment]
    assert {right - left for left, right in pairwise(times)} == {1000 // PICTURES_PER_SECOND}
    assert sounds > 46 * SECONDS, "AAC at 48 kHz has 46.9 frames a second"
    assert CLIP.stat().st_size < 400_000


@needs_ffmpeg
def test_the_script_makes_it_again(tmp_path: Path) -> None:
    again = tmp_path / "again.mkv"
    subprocess.run([sys.executable, "-m", "kvsfast.emulator.clip.make", str(again)], check=True, timeout=100)
    ours, made = shape(CLIP), shape(again)
    assert made[:2] == ours[:2]
    # Encoders differ in how they begin and end.
    assert abs(made.sounds - ours.sounds) <= 2
