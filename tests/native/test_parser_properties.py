"""Properties of the parser over generated media: it agrees with the reference, however the bytes are cut."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvsfast import MediaError
from kvsfast._native.scanner import ElementReader
from kvsfast.model import Limits
from tests import reference
from tests.feed import feed, feed_fragments
from tests.strategies import broken_media, media

# Thousands of parses each: a bound for hangs that holds on a busy machine, too.
pytestmark = pytest.mark.timeout(600)

#: Without this variable the same examples each time: a test, not a search. `python -m tests.fuzz` searches.
EXAMPLES = os.environ.get("KVSFAST_EXAMPLES")

thorough = settings(
    max_examples=int(EXAMPLES or 30),
    derandomize=EXAMPLES is None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@thorough
@given(media(), st.sampled_from([None, True, False]))
def test_legal_media_parses_as_the_reference_does(data: bytes, trailer: bool | None) -> None:
    assert feed(data, trailer=trailer) == reference.parse(data, trailer=trailer)


@thorough
@given(media())
def test_fragments_hold_what_streaming_gives(data: bytes) -> None:
    feed_fragments(data)


@thorough
@given(broken_media(), st.booleans())
def test_broken_media_parses_as_the_reference_does(data: bytes, strict: bool) -> None:
    assert feed(data, strict=strict) == reference.parse(data, strict=strict)


@thorough
@given(broken_media())
def test_fragments_of_broken_media_hold_what_streaming_gives(data: bytes) -> None:
    feed_fragments(data)


@thorough
@given(st.binary(max_size=300))
def test_random_bytes_parse_as_the_reference_does(data: bytes) -> None:
    assert feed(data) == reference.parse(data)


@thorough
@given(broken_media())
def test_the_element_tree_of_broken_media_is_walked_or_refused(data: bytes) -> None:
    reader = ElementReader(Limits())
    try:
        for pos in range(0, len(data), 4096):
            piece = data[pos : pos + 4096]
            with memoryview(reader.buffer) as window:
                window[: len(piece)] = piece
            reader.buffer.commit(len(piece))
            while reader.next_element() is not None:
                pass
    except MediaError as error:
        assert error.offset <= len(data)
