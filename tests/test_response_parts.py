"""The decoder of the fault proxy, against the emulator's own responses."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import pytest

from kvsfast.emulator import Emulator
from kvsfast.emulator.clip import CLIP
from tests.emulator.conftest import connected, raw_get_media
from tests.event_values import End, Frame
from tests.feed import feed
from tests.response_parts import MEDIA, ChunkedResponse, Span


@pytest.fixture(scope="module", params=["element", "coalesced", "random"])
def response(request: pytest.FixtureRequest) -> bytes:
    """The bytes of a whole response."""
    with Emulator({"front-door": CLIP}, pieces=request.param, limits=False) as service:
        with connected(service, service.media_endpoint_url) as sock:
            sock.sendall(raw_get_media(service, "front-door"))
            received = b""
            while not received.endswith(b"\r\n0\r\n\r\n"):
                received += sock.recv(65536)
    return received


def spans(data: bytes, cuts: Iterator[int]) -> list[Span]:
    """The spans of ``data`` in pieces, with what was cut apart put together again."""
    follower, at, joined = ChunkedResponse(), 0, list[Span]()
    open_spans: dict[str, bytes] = {}
    while at < len(data):
        size = next(cuts)
        for span in follower.feed(data[at : at + size]):
            before = open_spans.pop(span.part, b"")
            assert span.at == len(before)
            if span.ends:
                joined.append(Span(span.part, before + span.data, span.nth, 0, True))
            else:
                open_spans[span.part] = before + span.data
        at += size
    assert not open_spans
    return joined


def whole() -> Iterator[int]:
    while True:
        yield 1 << 30


def pieces(seed: int) -> Iterator[int]:
    dice = random.Random(seed)
    while True:
        yield dice.choice((1, 2, 3, 7, 100, 5000))


def test_the_parts_of_a_response(response: bytes) -> None:
    found = spans(response, whole())
    head, _, _ = response.partition(b"\r\n\r\n")
    assert found[0] == Span("head", head + b"\r\n\r\n", 0, 0, True)
    assert found[-1].part == "last" and found[-1].data == b"0\r\n\r\n"
    counts = Counter(span.part for span in found)
    assert counts["size"] == counts["crlf"]
    assert counts["head"] == counts["last"] == 1
    media = b"".join(span.data for span in found if span.part in MEDIA)
    assert len(media) == sum(int(span.data, 16) for span in found if span.part == "size")
    events = feed(media)
    frames = [event.data for event in events if isinstance(event, Frame)]
    # The content of a block begins with its track number, time and flags.
    assert [span.data[4:] for span in found if span.part == "frame"] == frames
    ends = [event for event in events if isinstance(event, End)]
    trailers = [span.data for span in found if span.part == "trailer"]
    assert [each for each in trailers if each.isdigit() and len(each) == 47] == [
        (event.continuation_token or "").encode() for event in ends
    ]


def test_it_does_not_matter_how_it_arrives(response: bytes) -> None:
    expected = sorted(spans(response, whole()))
    for seed in range(3):
        assert sorted(spans(response, pieces(seed))) == expected


def test_responses_in_a_row() -> None:
    """An error with a length, one without a body, and chunks, on one connection."""
    error = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\n{}"
    empty = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"
    chunks = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n\xec\x80\r\n0\r\n\r\n"
    found = spans(error + empty + chunks, pieces(1))
    parts = [(span.part, span.nth) for span in found]
    assert parts == [
        ("head", 0),
        ("body", 0),
        ("head", 1),
        ("head", 2),
        ("size", 0),
        ("header", 0),
        ("crlf", 0),
        ("last", 0),
    ]


def test_framing_that_is_broken() -> None:
    broken = b"HTTP/1.1 200 OK\r\n\r\n2\r\n\xec\x80\r\nno number\r\nwhatever\r\n\r\n"
    found = [(span.part, span.data) for span in ChunkedResponse().feed(broken)]
    assert found[-2:] == [("size", b"no number\r\n"), ("body", b"whatever\r\n\r\n")]


def test_sizes_are_counted_over_pieces() -> None:
    follower = ChunkedResponse()
    parts = [span.part for each in b"HTTP/1.1 200 OK\r\n\r\n10\r\n" for span in follower.feed(bytes([each]))]
    assert parts == ["head"] * 19 + ["size"] * 4
