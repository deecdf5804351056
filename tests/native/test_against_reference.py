"""The compiled parser against the reference: one small document for each rule."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests import reference
from tests.feed import assert_same, feed, feed_fragments
from tests.mkv_writer import (
    AWS,
    VIDEO_TRACKS,
    block,
    block_group,
    cluster,
    compression,
    content_encodings,
    ebml_header,
    element,
    fragment_number,
    head_tags,
    info,
    leaf,
    master,
    segment,
    service_tags,
    simple_block,
    simple_tag,
    tags,
    targets,
    track_entry,
    tracks,
    trailer_tags,
    void,
)

HEAD = ebml_header()
BLOCK = simple_block(1, 0, b"abcd", keyframe=True)
NUMBER = fragment_number(1)
TOO_LARGE = b"\xec\x40\x7f" + b"x" * 9  # a Void of 127 bytes in a parent that has not so many


def plain(*children: bytes, unknown: int = 8) -> bytes:
    return HEAD + segment(info(), VIDEO_TRACKS, *children, unknown=unknown)


def service(*children: bytes, unknown: int = 8) -> bytes:
    return plain(head_tags(NUMBER), *children, unknown=unknown)


def with_track(*children: bytes, media: bytes = cluster(0, BLOCK), **leaves: Any) -> bytes:
    return HEAD + segment(tracks(track_entry(1, *children, **leaves)), media)


def known_cluster(size: int, *children: bytes) -> bytes:
    """A Cluster that declares ``size`` bytes, whatever it holds."""
    return element("Cluster")[:-1] + (size | 0x4000).to_bytes(2, "big") + b"".join(children)


LACED = simple_block(1, 0, [b"a", b"b"], lacing="xiph")
TIME = leaf("Timestamp", 0)

CASES: dict[str, bytes] = {
    # structure
    "Void before the header": void(5) + plain(cluster(0, BLOCK)),
    "EBML header in an EBML header": b"\x1a\x45\xdf\xa3\x90" + plain(cluster(0, BLOCK)),
    "Info in an EBML header": b"\x1a\x45\xdf\xa3\x90" + info() + segment(cluster(0, BLOCK)),
    "no DocType": b"\x1a\x45\xdf\xa3\x80" + segment(cluster(0, BLOCK)),
    "empty DocType": element("EBML", leaf("DocType", "")) + segment(cluster(0, BLOCK)),
    "other DocType": ebml_header("matroskka") + segment(cluster(0, BLOCK)),
    "EBMLReadVersion 2": ebml_header(EBMLReadVersion=2) + segment(cluster(0, BLOCK)),
    "EBMLMaxIDLength 5": ebml_header(EBMLMaxIDLength=5) + segment(cluster(0, BLOCK)),
    "EBMLMaxSizeLength 9": ebml_header(EBMLMaxSizeLength=9) + segment(cluster(0, BLOCK)),
    "Segments under one header": plain(cluster(0, BLOCK), unknown=0) + segment(info(), cluster(7, BLOCK)),
    "Void of unknown size": plain(b"\xec\xff", cluster(0, BLOCK)),
    "unknown ID of unknown size": plain(cluster(0, BLOCK, b"\x4d\x4d\xff", unknown=1)),
    "known Cluster closed by Tags": plain(known_cluster(128, TIME, BLOCK, tags(("a", "1")), void(128))),
    "known service Cluster closed by Tags": service(known_cluster(128, TIME, BLOCK, trailer_tags(NUMBER))),
    "BlockGroup closed by Tags": plain(
        known_cluster(
            240, TIME, b"\xa0\xc0", element("Block", block(1, 0, b"abc")), tags(("a", "1")), void(200)
        )
    ),
    "misplaced leaf in a known Cluster": plain(cluster(0, leaf("TagName", "x"), BLOCK)),
    "misplaced leaf in an unknown Cluster": plain(cluster(0, leaf("TagName", "x"), BLOCK, unknown=1)),
    "misplaced leaf after a service Cluster": service(cluster(0, BLOCK, unknown=1), leaf("TagName", "x")),
    "misplaced master of unknown size": HEAD + segment(info(element("Tag", unknown=1)), cluster(0, BLOCK)),
    "one zero byte left": plain(element("Info", b"\0"), cluster(0, BLOCK)),
    "one byte left": plain(cluster(0, BLOCK, b"\x1a")),
    "three bytes left": plain(cluster(0, BLOCK, b"\x1a\x45\xdf")),
    "ID of ones left": plain(cluster(0, BLOCK, b"\x7f\xff")),
    "ID of ones and a size left": plain(cluster(0, BLOCK, b"\x7f\xff\x80")),
    "Cues with a child too large": plain(cluster(0, BLOCK), element("Cues", TOO_LARGE)),
    "second Info and Tracks": plain(info(TimestampScale=5), tracks(track_entry(2)), cluster(1, BLOCK)),
    "Tracks between Clusters": plain(cluster(0, BLOCK), tracks(track_entry(2)), cluster(1, BLOCK)),
    # values
    "TimestampScale 0": HEAD + segment(info(TimestampScale=0), cluster(0, BLOCK)),
    "TrackNumber 0": HEAD + segment(tracks(track_entry(0)), cluster(0, BLOCK)),
    "no TrackNumber": HEAD + segment(tracks(master("TrackEntry", TrackType=1)), cluster(0, BLOCK)),
    "TrackUID of 9 bytes": with_track(leaf("TrackUID", 1, length=9)),
    "PrevSize of 9 bytes": plain(cluster(0, leaf("PrevSize", 1, length=9), BLOCK)),
    "ReferenceBlock of 9 bytes": plain(
        cluster(0, block_group(1, 0, b"a", leaf("ReferenceBlock", 1, length=9)))
    ),
    "DateUTC of 4 bytes": HEAD + segment(info(element("DateUTC", b"1234")), cluster(0, BLOCK)),
    "empty leaves": HEAD
    + segment(
        element("Info", element("TimestampScale"), element("DateUTC")),
        tracks(track_entry(1, *map(element, ("TrackTimestampScale", "FlagEnabled", "Language")))),
        cluster(0, BLOCK),
    ),
    "leaves twice": with_track(leaf("TrackNumber", 5), leaf("Name", "a"), leaf("Name", "b")),
    "TagString twice": plain(tags(simple_tag("a", "1", leaf("TagString", "2"))), cluster(0, BLOCK)),
    "Targets twice": plain(tags(targets(1), targets(2), simple_tag("a", "1")), cluster(0, BLOCK)),
    "TrackTimestampScale NaN": with_track(TrackTimestampScale=math.nan),
    "TrackTimestampScale -1": with_track(TrackTimestampScale=-1.0),
    "broken CodecPrivate": with_track(
        content_encodings(compression(0, ContentEncodingScope=2)), CodecPrivate=b"junk"
    ),
    # blocks
    "block of unknown size": plain(cluster(0, BLOCK, b"\xa3\xff\x81\0\0\x80" + bytes(200), unknown=1)),
    "block of unknown size, two bytes wide": plain(
        cluster(0, BLOCK, b"\xa3\x7f\xff\x81\0\0\x80" + bytes(17_000), unknown=1)
    ),
    "two Timestamps": plain(cluster(1, leaf("Timestamp", 9), BLOCK)),
    "block before Timestamp": plain(cluster(None, BLOCK, leaf("Timestamp", 1))),
    "two Blocks in a group": plain(cluster(0, block_group(1, 0, b"a", element("Block", block(1, 5, b"b"))))),
    "track 127 in one byte": plain(cluster(0, simple_block(127, 0, b"a"))),
    "rounded times": with_track(
        TrackTimestampScale=0.5,
        media=cluster(0, *(simple_block(1, time, b"a") for time in (-3, -1, 1, 3, 5))),
    ),
    "BlockDuration in track ticks": with_track(
        TrackTimestampScale=2.0, media=cluster(0, block_group(1, 3, b"a", duration=10))
    ),
    "Timestamp beyond 64 bits": plain(cluster(2**63, BLOCK)),
    "DefaultDuration 0": with_track(DefaultDuration=0, media=cluster(0, LACED)),
    "empty zlib frame": with_track(
        content_encodings(compression(0)), media=cluster(0, simple_block(1, 0, b""))
    ),
    # fragments
    "Cluster header and EOF": plain(cluster(None, unknown=1)),
    "Cluster without Timestamp": plain(cluster(None)),
    "service Cluster cut before Timestamp": service(b"\x1f\x43\xb6\x75\xff\xe7\x82\x01"),
    "plain Cluster cut before Timestamp": plain(b"\x1f\x43\xb6\x75\xff\xe7\x82\x01"),
    "no Cluster after one": service(cluster(5, BLOCK)) + service(trailer_tags(NUMBER)),
    "two fragments in a document": service(
        cluster(0, BLOCK), trailer_tags(NUMBER), head_tags("77"), cluster(5, BLOCK), trailer_tags("77")
    ),
    "Cluster after the trailer": service(cluster(0, BLOCK), trailer_tags(NUMBER), cluster(5, BLOCK)),
    "trailer before the Cluster": service(trailer_tags(NUMBER), cluster(5, BLOCK)),
    "trailer of a plain document": plain(cluster(0, BLOCK), trailer_tags(NUMBER)),
    "trailer of unknown size": service(
        cluster(0, BLOCK), tags((AWS + "CONTINUATION_TOKEN", NUMBER), unknown=1)
    ),
    "tags of unknown size": plain(cluster(0, BLOCK), tags(("a", "1"), unknown=1)),
    # tags
    "tags around plain Clusters": plain(
        tags(("z", "0")), cluster(0, BLOCK), tags(("a", "1")), cluster(1, BLOCK)
    ),
    "tags after the trailer": service(
        cluster(0, BLOCK), trailer_tags(NUMBER), tags(("a", "1")), tags(("b", "1"))
    ),
    "empty number": plain(service_tags(FRAGMENT_NUMBER=""), cluster(0, BLOCK), trailer_tags(NUMBER)),
    "empty token": service(cluster(0, BLOCK), service_tags(CONTINUATION_TOKEN="")),
    "broken behind now": service(cluster(0, BLOCK), service_tags(MILLIS_BEHIND_NOW="x")),
    "fractional behind now": service(cluster(0, BLOCK), trailer_tags(NUMBER, "1.5")),
    "error in a fragment": service(cluster(0, BLOCK), service_tags(ERROR_ID="4500"), tags(("a", "1"))),
    "error and token": service(cluster(0, BLOCK), service_tags(ERROR_ID="4500", CONTINUATION_TOKEN=NUMBER)),
    "error before the Cluster": service(service_tags(ERROR_ID="4500"), cluster(0, BLOCK)),
    "error between tags": HEAD + segment(tags(("a", "1")), service_tags(ERROR_ID="4500"), tags(("b", "1"))),
    "error told by its message": HEAD + segment(service_tags(EXCEPTION_MESSAGE="boo")),
} | {
    f"server timestamp {text!r}": plain(
        service_tags(FRAGMENT_NUMBER=NUMBER, SERVER_TIMESTAMP=text), cluster(0, BLOCK)
    )
    for text in ("", "5", "5.", ".5", "-5.5", "+5", "1e3", "0.0009", "9" * 30)
}


@pytest.mark.parametrize("name", CASES)
def test_rules(name: str) -> None:
    for strict in (False, True):
        for trailer in (None, True, False):
            events = feed(CASES[name], strict=strict, trailer=trailer)
            expected = reference.parse(CASES[name], strict=strict, trailer=trailer)
            assert_same(events, expected, "parser against reference")
            feed_fragments(CASES[name], strict=strict, trailer=trailer)
