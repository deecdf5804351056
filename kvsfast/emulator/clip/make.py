"""Make the clip again:  python -m kvsfast.emulator.clip.make clip.mkv  (needs ffmpeg with libx264).

Nothing in it comes from outside: the picture is ffmpeg's test source, which counts frames and seconds, and
the sound is a sine with a beep each second.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

SECONDS = 8
PICTURES_PER_SECOND = 25


def command(target: Path) -> list[str]:
    """The command line of ffmpeg. Its muxer begins a Cluster at each key frame; there is one a second."""
    return [
        *("ffmpeg", "-hide_banner", "-loglevel", "error", "-y"),
        *("-f", "lavfi", "-i", f"testsrc2=size=640x360:rate={PICTURES_PER_SECOND}:duration={SECONDS}"),
        *("-f", "lavfi", "-i", f"sine=frequency=330:beep_factor=4:sample_rate=48000:duration={SECONDS}"),
        *(
            "-c:v",
            "libx264",
            "-profile:v",
            "main",
            "-preset",
            "veryslow",
            "-crf",
            "32",
            "-pix_fmt",
            "yuv420p",
        ),
        # Cameras send no B-frames. One thread, so that every run gives the same pictures.
        *("-bf", "0", "-g", str(PICTURES_PER_SECOND), "-sc_threshold", "0", "-threads", "1"),
        *("-c:a", "aac", "-b:a", "48k"),
        *("-metadata", "title=kvsfast test picture"),
        # No versions and dates, so that every run gives the same bytes.
        *("-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact"),
        *("-f", "matroska", str(target)),
    ]


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        print("usage: python -m kvsfast.emulator.clip.make FILE", file=sys.stderr)
        return 2
    if shutil.which("ffmpeg") is None:
        print("ffmpeg is not installed: apt-get install ffmpeg", file=sys.stderr)
        return 1
    return subprocess.run(command(Path(arguments[0])), check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
