"""Memory grows with what has arrived and is kept, never with what the media declares.

Each case runs in a process of its own, so that its peak is its own, under a limit on address space: an
allocation of a declared size would fail there rather than pass unnoticed because nobody touches its pages.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from ast import literal_eval
from collections.abc import Callable, Iterator
from itertools import pairwise, repeat
from pathlib import Path

import pytest

import kvsfast
from kvsfast import FragmentParser, LimitExceeded, MediaError
from tests.hostile import HEAD, TRACKS, header_of
from tests.mkv_writer import (
    Block,
    block,
    cluster,
    element,
    head_tags,
    info,
    leaf,
    segment,
    service_fragment,
    simple_block,
    vint,
    void,
)

MIB = 1 << 20
FILL = void(MIB - 9, width=8)
OPEN_CLUSTER = HEAD + segment(info(), TRACKS) + cluster(0, simple_block(1, 0, b"frame"), unknown=8)
OPEN_TAG = HEAD + segment(info(), TRACKS) + header_of("Tags", 2**50) + header_of("Tag", 2**49)
HUGE = 2**44

# -- what is declared --------------------------------------------------------------------------------------


def huge_lace(lacing: str) -> bytes:
    """A block of 9 KB whose lace of 256 frames says that they have terabytes."""
    sizes = {"xiph": b"\xff" * 8000, "ebml": vint(HUGE, 8) + b"\xbf" * 254}[lacing]
    return element(
        "SimpleBlock", block(1, 0, b"\xff" + sizes + bytes(999), flags={"xiph": 2, "ebml": 6}[lacing])
    )


ABOVE_BLOCK = header_of("Cluster", 2**50) + leaf("Timestamp", 0)
IN_TAG = OPEN_TAG + header_of("SimpleTag", 2**48)
ENTRY = header_of("Tracks", 2**50) + header_of("TrackEntry", 2**49)
KEPT = "max_fragment_size"

#: The bytes, what comes of them while streaming, and while fragments are kept.
DECLARED: dict[str, tuple[bytes, str | None, str | None]] = {
    "SimpleBlock": (OPEN_CLUSTER + header_of("SimpleBlock", HUGE), "max_block_size", "max_block_size"),
    "BlockGroup": (OPEN_CLUSTER + header_of("BlockGroup", HUGE), "max_block_size", "max_block_size"),
    "SimpleBlock in a known Cluster": (
        HEAD + segment(info(), TRACKS) + ABOVE_BLOCK + header_of("SimpleBlock", HUGE),
        "max_block_size",
        KEPT,
    ),
    "CodecPrivate": (
        HEAD + segment() + ENTRY + header_of("CodecPrivate", HUGE),
        "max_binary_size",
        "max_binary_size",
    ),
    "Tracks": (HEAD + segment() + header_of("Tracks", 2**40), None, None),
    "Info": (HEAD + segment() + header_of("Info", 2**40), None, None),
    "Tags": (OPEN_TAG, None, None),
    "TagString": (IN_TAG + header_of("TagString", HUGE), "max_string_size", "max_string_size"),
    "TagBinary": (IN_TAG + header_of("TagBinary", HUGE), "max_binary_size", "max_binary_size"),
    "DocType": (
        b"\x1a\x45\xdf\xa3" + vint(2**50, 8) + header_of("DocType", HUGE),
        "max_string_size",
        "max_string_size",
    ),
    "Void": (OPEN_CLUSTER + header_of("Void", 2**55), None, KEPT),
    "unknown ID": (OPEN_CLUSTER + b"\x4d\x4d" + vint(2**55, 8), None, KEPT),
    "Attachments": (HEAD + segment(info(), TRACKS) + header_of("Attachments", 2**50), None, None),
    "Segment": (HEAD + header_of("Segment", 2**55) + info() + TRACKS + header_of("Void", 2**54), None, None),
    "Cluster": (HEAD + segment(info(), TRACKS) + ABOVE_BLOCK, None, KEPT),
    "service's Cluster": (HEAD + segment(info(), TRACKS, head_tags("1")) + ABOVE_BLOCK, None, KEPT),
    "unknown sizes": (
        HEAD
        + segment(
            info(), TRACKS, *(element(name, unknown=8) for name in ["Tags", "Tag", *["SimpleTag"] * 10])
        ),
        None,
        None,
    ),
    "unknown sizes, too deep": (
        HEAD
        + segment(
            info(), TRACKS, *(element(name, unknown=8) for name in ["Tags", "Tag", *["SimpleTag"] * 20])
        ),
        "max_depth",
        "max_depth",
    ),
    "unknown sizes and a Void": (
        HEAD + segment(info(), TRACKS, element("Tags", unknown=8), header_of("Void", 2**55)),
        None,
        None,
    ),
    "Xiph lace": (OPEN_CLUSTER + huge_lace("xiph"), "MediaError", "MediaError"),
    "EBML lace": (OPEN_CLUSTER + huge_lace("ebml"), "MediaError", "MediaError"),
    # Below its limit a block is held, as far as it has arrived.
    "block below its limit": (OPEN_CLUSTER + header_of("SimpleBlock", 60 * MIB), None, None),
    "lace below its limit": (
        OPEN_CLUSTER + header_of("SimpleBlock", 60 * MIB) + block(1, 0, b"\xff" + vint(HUGE, 8), flags=6),
        None,
        None,
    ),
}

RECEIVED = 8 * MIB


@pytest.mark.parametrize("keep", [False, True], ids=["streaming", "kept"])
@pytest.mark.parametrize("name", DECLARED)
def test_nothing_is_held_for_a_declaration(name: str, keep: bool) -> None:
    outcome, grown = in_process(f"declared({name!r}, {keep})")
    expected = DECLARED[name][1 + keep]
    assert outcome == str(expected)
    is_held = expected is None and (keep or "below" in name)
    # What is held is there twice while its buffer is replaced by one of the next power of two.
    assert grown < (4 * RECEIVED if is_held else 3 * MIB), f"{grown / MIB:.1f} MiB"


def declared(name: str, keep: bool) -> str:
    """Feed a declaration and some MiB of what follows it. The name of the limit that was hit, or None."""
    data, *_ = DECLARED[name]
    parser = FragmentParser(keep_fragments=keep)
    parser.receive_data(data)
    try:
        for _ in range(RECEIVED // MIB):
            while parser.next_event() is not None:
                pass
            parser.receive_data(FILL)
        while parser.next_event() is not None:
            pass
        parser.receive_eof()
        while parser.next_event() is not None:
            pass
    except LimitExceeded as error:
        return error.name if error.declared > error.limit else "a limit that was not reached"
    except MediaError as error:
        return type(error).__name__
    return "None"


# -- what is really there ----------------------------------------------------------------------------------

FRAME = 50_000
FRAMES_A_FRAGMENT = 100


#: A fragment of 5 MB.
FRAGMENT = service_fragment(frames=[Block(bytes([i]) * FRAME, 40 * i) for i in range(FRAMES_A_FRAGMENT)])


def long_media(mib: int) -> Iterator[bytes]:
    return repeat(FRAGMENT, mib * MIB // len(FRAGMENT))


def frames_of_long_media(mib: int) -> str:
    count = sum(frame.size == FRAME for frame in kvsfast.parse(long_media(mib)).frames())
    return str(count)


def fragments_of_long_media(mib: int) -> str:
    count = 0
    for fragment in kvsfast.parse(long_media(mib)).fragments():
        count += sum(fragment.columns.length.tolist()) // FRAME
        assert fragment.is_complete
    return str(count)


@pytest.mark.parametrize("way", ["frames", "fragments"])
def test_a_long_stream_takes_no_more_than_a_short_one(way: str) -> None:
    """300 MB, each frame and fragment dropped when the next one comes."""
    _, short = in_process(f"{way}_of_long_media(30)")
    outcome, long = in_process(f"{way}_of_long_media(300)")
    assert int(outcome) == 300 * MIB // len(FRAGMENT) * FRAMES_A_FRAGMENT
    # In a plain loop one fragment is held while the next one comes.
    assert long < (3 * MIB if way == "frames" else 8 * MIB + 2 * len(FRAGMENT)), f"{long / MIB:.1f} MiB"
    assert long - short < 4 * MIB, "memory grows with the length of the stream"


LARGE = 50_000_000


def large_media(fragments: int, size: int = LARGE) -> Iterator[bytes]:
    """Fragments of one frame, whose payload comes out of one window of memory again and again."""
    window = bytes(50_000)
    for _ in range(fragments):
        yield HEAD + segment(info(), TRACKS) + cluster(0, unknown=8) + header_of("SimpleBlock", 4 + size)
        yield block(1, 0, b"")
        yield from repeat(window, size // len(window))


def faults_of_large_fragments() -> str:
    """Pages that the kernel had to find for each fragment after the first three."""
    faults = []
    for fragment in kvsfast.parse(large_media(8)).fragments():
        assert fragment.frame_count == 1 and len(fragment.frames[0]) == LARGE
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
    return repr([after - before for before, after in pairwise(faults[2:])])


def test_large_fragments_take_turns_in_two_pieces_of_memory() -> None:
    outcome, grown = in_process("faults_of_large_fragments()")
    assert grown < 8 * MIB + 2 * LARGE, f"{grown / MIB:.1f} MiB"
    assert max(literal_eval(outcome)) < LARGE // resource.getpagesize() // 20, "fresh memory for each"


def free_after_large_fragments() -> str:
    assert sum(1 for _ in kvsfast.parse(large_media(3)).fragments()) == 3
    large = kvsfast.memory_stats().free
    assert sum(1 for _ in kvsfast.parse(large_media(60, 2_000_000)).fragments()) == 60
    return repr((large, kvsfast.memory_stats().free))


def test_large_pieces_go_when_smaller_ones_are_enough() -> None:
    outcome, _ = in_process("free_after_large_fragments()")
    large, small = literal_eval(outcome)
    assert large >= 2 * LARGE
    assert small <= 64 * MIB


def skipped(kind: str) -> str:
    """200 MiB of Void, or of an element of an ID that is not known, between two frames."""
    head = header_of("Void", 200 * MIB) if kind == "Void" else b"\x4d\x4d" + vint(200 * MIB, 8)
    pieces = [OPEN_CLUSTER, head, *[FILL] * 200, simple_block(1, 1, b"behind")]
    return repr([bytes(frame) for frame in kvsfast.parse(pieces).frames()])


@pytest.mark.parametrize("kind", ["Void", "unknown ID"])
def test_what_is_skipped_is_not_held(kind: str) -> None:
    outcome, grown = in_process(f"skipped({kind!r})")
    assert outcome == "[b'frame', b'behind']"
    assert grown < 3 * MIB, f"{grown / MIB:.1f} MiB"


def many_voids() -> str:
    """Elements that carry nothing: they cost the sender as much as us, up to a limit."""
    try:
        list(kvsfast.parse([OPEN_CLUSTER, *[b"\xec\x80" * MIB] * 12]).frames())
    except LimitExceeded as error:
        return error.name
    return "None"


def test_elements_that_carry_nothing_are_limited() -> None:
    outcome, grown = in_process("many_voids()")
    assert outcome == "max_barren_elements"
    assert grown < 3 * MIB + 2 * MIB, "and one piece of the source's"


# -- measuring ---------------------------------------------------------------------------------------------


def peak() -> int:
    """The most memory this process ever had, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM in /proc/self/status")


def measure(case: Callable[[], str]) -> None:
    """Run a case in this process and print what came of it and by how many bytes the peak has grown."""
    for data in (HEAD, service_fragment()):
        for keep in (False, True):
            parser = FragmentParser(keep_fragments=keep)
            parser.receive_data(data)
            while parser.next_event() is not None:
                pass
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + 1024 * MIB, resource.RLIM_INFINITY))
    before = peak()
    outcome = case()
    print(f"{peak() - before} {outcome}")


def in_process(case: str) -> tuple[str, int]:
    """What an expression over this module gives in a process of its own, and how its peak has grown."""
    if not Path("/proc/self/status").exists():
        pytest.skip("peak memory is read from /proc/self/status")
    script = f"from tests.native.test_memory import *\nmeasure(lambda: {case})"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        check=False,
        timeout=100,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    grown, _, outcome = done.stdout.strip().partition(" ")
    return outcome, int(grown)
