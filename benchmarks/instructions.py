"""How many instructions the hot paths take on fixed input, counted by callgrind: a number that a busy machine
cannot shake.

``measure`` runs this module once under valgrind. Each path goes over its input for a few laps, and then for
more; the difference of the two has neither the interpreter's start nor the warming up in it. The counts of
record lie in ``instructions.json``, with the toolchain that they hold for: another compiler or another Python
takes other instructions, so there they are not compared.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import kvsfast
from benchmarks import media, native, wire
from benchmarks.machine import ROOT, said
from benchmarks.micro import Body, Media, copy_in, decode

__all__ = [
    "PATHS",
    "RECORD",
    "TOLERANCE",
    "Record",
    "compare",
    "measure",
    "measure_push_copy",
    "missing",
    "record",
    "recorded",
    "toolchain",
]

RECORD = Path(__file__).with_suffix(".json")
#: How far a count may be from the record, relative to it. Runs of one build differ by less than 0.1 %.
TOLERANCE = 0.02
#: Laps: not counted, since CPython specialises what is warm; of the first stretch; of the second.
WARM_UP, FIRST, SECOND = 3, 1, 4
#: Seconds after which valgrind is taken to hang; it needs about ten.
HANG = 300.0
#: glibc copies large blocks as the processor's make suggests, by one instruction or by many: by many.
TUNABLES = "glibc.cpu.x86_rep_movsb_threshold=0x40000000:glibc.cpu.x86_non_temporal_threshold=0x40000000"


@dataclass(frozen=True)
class HotPath:
    """``run(make())`` goes once over ``units`` of ``unit``. ``beyond``: name of the path whose count is what
    this one would cost anyway, and is taken off. ``is_received``: over memory that could
    change, of which each window is copied into the reader's buffer, as a receive does."""

    title: str
    unit: str
    units: int
    make: Callable[[], bytes]
    run: Callable[[Any], Any]
    beyond: str = ""
    is_received: bool = False


# -- the input


def _documents(frames: int, documents: int, size: int = 200) -> Callable[[], bytes]:
    return lambda: media.service_documents([[size] * frames] * documents)


def _full_hd() -> bytes:
    return media.service_documents(wire.frame_sizes(wire.synthetic_pieces()))


_BODIES = {
    "1080p": Body("1080p pieces", wire.synthetic_pieces),
    "audio": Body("audio pieces", wire.audio_pieces),
}


def _body(name: str) -> Callable[[], bytes]:
    return lambda: _BODIES[name].wire


# -- the paths


def _iterate(documents: Media) -> None:
    for _ in kvsfast.parse(documents).frames():
        pass


def _read_attribute(documents: Media) -> None:
    for frame in kvsfast.parse(documents).frames():
        frame.media_time_ns  # noqa: B018


def _take_view(documents: Media) -> None:
    for frame in kvsfast.parse(documents).frames():
        frame.data  # noqa: B018


def _iterate_events(documents: Media) -> None:
    for _ in kvsfast.parse(documents).events():
        pass


def _iterate_fragments(documents: Media) -> None:
    for _ in kvsfast.parse(documents).fragments():
        pass


def _read_columns(documents: Media) -> None:
    for fragment in kvsfast.parse(documents).fragments():
        memoryview(fragment.columns).release()


def _iterate_fragment_frames(documents: Media) -> None:
    for fragment in kvsfast.parse(documents).fragments():
        for _ in fragment.frames:
            pass


def _give_objects(documents: Media) -> None:
    for _ in native.load("object_limit").frames(4000):
        pass


def _give_an_attribute(documents: Media) -> None:
    for frame in native.load("object_limit").frames(4000):
        frame.time  # noqa: B018


_small, _headers = _documents(1000, 4), _documents(1, 100)

PATHS = {
    "objects": HotPath("CPython: an object a frame, nothing parsed", "frame", 4000, _small, _give_objects),
    "objects-attribute": HotPath(
        "CPython: the same, one attribute read", "frame", 4000, _small, _give_an_attribute
    ),
    "scan": HotPath("fragments(): blocks scanned", "frame", 4000, _small, _iterate_fragments),
    "columns": HotPath("fragments(): columns exported", "frame", 4000, _small, _read_columns),
    "frames": HotPath("frames(): iterated", "frame", 4000, _small, _iterate),
    "attribute": HotPath("frames(): one attribute read", "frame", 4000, _small, _read_attribute),
    "view": HotPath("frames(): one view taken", "frame", 4000, _small, _take_view),
    "events": HotPath("events(): iterated", "frame", 4000, _small, _iterate_events),
    "fragment-frames": HotPath(
        "fragments(): frames iterated", "frame", 4000, _small, _iterate_fragment_frames
    ),
    "received": HotPath(
        "frames(): iterated, copied in as received", "frame", 4000, _small, _iterate, is_received=True
    ),
    "documents": HotPath("frames(): documents of one frame", "document", 100, _headers, _iterate),
    "assembly": HotPath(
        "fragments(): 1080p put together", "fragment", 17, _full_hd, _iterate_fragments, is_received=True
    ),
    "streaming": HotPath("frames(): 1080p", "fragment", 17, _full_hd, _iterate, is_received=True),
    "copy-1080p": HotPath(
        "1080p body: in and out of the window", "HTTP chunk", 1028, _body("1080p"), copy_in
    ),
    "http-1080p": HotPath(
        "1080p body: framing off", "HTTP chunk", 1028, _body("1080p"), decode, "copy-1080p"
    ),
    "copy-audio": HotPath(
        "audio body: in and out of the window", "HTTP chunk", 51_520, _body("audio"), copy_in
    ),
    "http-audio": HotPath(
        "audio body: framing off", "HTTP chunk", 51_520, _body("audio"), decode, "copy-audio"
    ),
}


# -- counting


def missing() -> str | None:
    """Why nothing can be counted here, or None."""
    if shutil.which("valgrind") is None:
        return "no valgrind: apt-get install valgrind"
    if why := native.missing():
        return why
    if any(os.environ.get(name) == "1" for name in ("KVSFAST_TRACE", "KVSFAST_SANITIZE")):
        return "a build for tracing or for a sanitizer takes other instructions"
    return None


def toolchain() -> dict[str, str]:
    """What the counts depend on beside the code."""
    return {
        "machine": platform.machine(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "libc": " ".join(platform.libc_ver()),
        "cc": said(os.environ.get("CC", "cc").split()[0], "-dumpfullversion"),
        "cython": metadata.version("Cython"),
        "valgrind": said("valgrind", "--version"),
    }


def measure() -> dict[str, float]:
    """Instructions per unit, by path."""
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory, "callgrind.out")
        # The mark between two stretches is a function of libc that nobody else calls.
        tool = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={output}", "--dump-before=getsid"]
        environment = {**os.environ, "PYTHONHASHSEED": "0", "GLIBC_TUNABLES": TUNABLES}
        for name, path in PATHS.items():  # made out here: valgrind is slow
            Path(directory, name).write_bytes(path.make())
        command = [*tool, sys.executable, "-m", "benchmarks.instructions", directory]
        done = subprocess.run(
            command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=HANG, check=False
        )
        if done.returncode:
            raise RuntimeError(f"valgrind ended with status {done.returncode}:\n{done.stderr}")
        stretches = [_total(output.with_name(f"{output.name}.{part + 1}")) for part in range(3 * len(PATHS))]
    counts: dict[str, float] = {}
    for at, (name, path) in enumerate(PATHS.items()):
        first, second = stretches[3 * at + 1 : 3 * at + 3]
        count = (second - first) / (SECOND - FIRST) / path.units
        counts[name] = round(count - counts[path.beyond] if path.beyond else count, 1)
    return counts


def measure_push_copy() -> float:
    """Instructions per frame of the parser in C over the same frames."""
    with tempfile.TemporaryDirectory() as directory:
        documents, output = Path(directory, "documents"), Path(directory, "callgrind.out")
        documents.write_bytes(_small())
        totals = []
        for rounds in (FIRST, SECOND):
            tool = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={output}"]
            command = [*tool, str(native.build("push_copy")), str(documents), str(rounds)]
            subprocess.run(
                command,
                env={**os.environ, "GLIBC_TUNABLES": TUNABLES},
                capture_output=True,
                timeout=HANG,
                check=True,
            )
            totals.append(_total(output))
    return round((totals[1] - totals[0]) / (SECOND - FIRST) / PATHS["scan"].units, 1)


def _total(dump: Path) -> int:
    found = re.search(r"^totals: (\d+)$", dump.read_text(), re.MULTILINE)
    assert found, f"{dump.name} has no total"
    return int(found[1])


def _run_all(directory: str) -> None:
    """What valgrind watches: three stretches for each path, a mark after each."""
    gc.disable()
    for name, path in PATHS.items():
        data: Media = Path(directory, name).read_bytes()
        if path.is_received:
            data = bytearray(data)
        for laps in (WARM_UP, FIRST, SECOND):
            for _ in range(laps):
                path.run(data)
            os.getsid(0)


# -- the counts of record


@dataclass(frozen=True)
class Record:
    """``counts``: instructions per unit, by path."""

    toolchain: dict[str, str]
    counts: dict[str, float]


def record(made: Record) -> None:
    RECORD.write_text(json.dumps(asdict(made), indent=1) + "\n")


def recorded() -> Record:
    return Record(**json.loads(RECORD.read_text()))


def compare(old: dict[str, float], new: dict[str, float]) -> list[str]:
    """What is not as recorded, a sentence for each: more instructions, or so much fewer that the record no
    longer guards them."""
    changes = []
    for name in sorted(old.keys() | new.keys()):
        if name not in old or name not in new:
            changes.append(f"{name}: {'not recorded' if name in new else 'recorded, but no longer counted'}")
        elif abs(new[name] - old[name]) > TOLERANCE * old[name]:
            change = 100 * (new[name] / old[name] - 1)
            changes.append(f"{name}: {old[name]:.1f} -> {new[name]:.1f} instructions ({change:+.1f} %)")
    return changes


if __name__ == "__main__":
    _run_all(sys.argv[1])
