"""The service's own Tags, byte for byte: one Tag, its SimpleTags in fixed order, every size 4 bytes wide.

No Targets, no TagLanguage, no TagDefault: that is how recorded responses look. The functions return what the
service writes as separate pieces; joined, they are the element. What depends on the lengths of the values
alone is made once.
"""

from __future__ import annotations

from functools import lru_cache

__all__ = ["SEGMENT_HEADER", "after_cluster", "before_cluster", "error_document", "seconds"]

#: EBML header of a document that has nothing but an error in it, as the service writes one of its own.
ERROR_EBML_HEADER = bytes.fromhex(
    "1A45DFA3 A3 4286 81 01 42F7 81 01 42F2 81 04 42F3 81 08 4282 88 6D6174726F736B61 4287 81 02 4285 81 02"
)
#: The Segment header of every document that the service sends: an unknown size, 8 bytes wide.
SEGMENT_HEADER = bytes.fromhex("18538067 01FFFFFFFFFFFFFF")


def seconds(milliseconds: int) -> str:
    """A timestamp as the tags spell it: epoch seconds with exactly three decimals, not padded."""
    return f"{milliseconds // 1000}.{milliseconds % 1000:03d}"


def before_cluster(number: str, server_timestamp: str, producer_timestamp: str) -> list[bytes]:
    """Tags in front of the Cluster, in pieces: headers, names and strings each apart."""
    names = "FRAGMENT_NUMBER", "SERVER_TIMESTAMP", "PRODUCER_TIMESTAMP"
    return _tags(names, number, server_timestamp, producer_timestamp)


def after_cluster(millis_behind_now: int, continuation_token: str) -> list[bytes]:
    """The trailer, in one piece."""
    names = "MILLIS_BEHIND_NOW", "CONTINUATION_TOKEN"
    return [b"".join(_tags(names, str(millis_behind_now), continuation_token))]


def error_document(
    error_id: int, error_code: str, fragment_number: str | None, *, is_exception: bool = False
) -> list[bytes]:
    """A document that tells of an error: EBML header, Segment and Tags, no Info, no Tracks, no Cluster.

    ``fragment_number``: None if the error is about none. ``is_exception``: under the tag names that are
    documented for GetMediaForFragmentList, where a text stands in the place of the code.
    """
    if is_exception:
        told = {"EXCEPTION_ERROR_CODE": str(error_id), "EXCEPTION_MESSAGE": error_code}
    else:
        told = {"ERROR_CODE": error_code, "ERROR_ID": str(error_id)}
    if fragment_number is not None:
        told["FRAGMENT_NUMBER"] = fragment_number
    return [ERROR_EBML_HEADER, SEGMENT_HEADER, *_tags(tuple(told), *told.values())]


def _tags(names: tuple[str, ...], *values: str) -> list[bytes]:
    pieces = list(_template(names, tuple(map(len, values))))
    for position, value in enumerate(values):
        pieces[4 + 3 * position] += value.encode("ascii")
    return pieces


@lru_cache(maxsize=256)
def _template(names: tuple[str, ...], lengths: tuple[int, ...]) -> tuple[bytes, ...]:
    """Tags and Tag, then for each name SimpleTag, TagName and the header of a TagString of that length."""
    pieces: list[bytes] = []
    inside = 0
    for name, length in zip(names, lengths, strict=True):
        tag_name = b"AWS_KINESISVIDEO_" + name.encode("ascii")
        size = 6 + len(tag_name) + 6 + length
        pieces += (_header("67C8", size), _header("45A3", len(tag_name)) + tag_name, _header("4487", length))
        inside += 6 + size
    return (_header("1254C367", 6 + inside), _header("7373", inside), *pieces)


def _header(element_id: str, size: int) -> bytes:
    return bytes.fromhex(element_id) + (0x10000000 | size).to_bytes(4)
