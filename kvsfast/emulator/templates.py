"""The service's own Tags, byte for byte: one Tag, its SimpleTags in fixed order, every size 4 bytes wide.

No Targets, no TagLanguage, no TagDefault: that is how recorded responses look. The functions return what the
service writes as separate pieces; joined, they are the element.
"""

from __future__ import annotations

__all__ = ["after_cluster", "before_cluster", "error_document", "seconds"]

#: EBML header of a document that has nothing but an error in it, as the service writes one of its own.
ERROR_EBML_HEADER = bytes.fromhex(
    "1A45DFA3 A3 4286 81 01 42F7 81 01 42F2 81 04 42F3 81 08 4282 88 6D6174726F736B61 4287 81 02 4285 81 02"
)
SEGMENT_HEADER = bytes.fromhex("18538067 01FFFFFFFFFFFFFF")


def seconds(milliseconds: int) -> str:
    """A timestamp as the tags spell it: epoch seconds with exactly three decimals, not padded."""
    return f"{milliseconds // 1000}.{milliseconds % 1000:03d}"


def before_cluster(number: str, server_timestamp: str, producer_timestamp: str) -> list[bytes]:
    """Tags in front of the Cluster, in pieces: headers, names and strings each apart."""
    return _tags(
        (b"AWS_KINESISVIDEO_FRAGMENT_NUMBER", number),
        (b"AWS_KINESISVIDEO_SERVER_TIMESTAMP", server_timestamp),
        (b"AWS_KINESISVIDEO_PRODUCER_TIMESTAMP", producer_timestamp),
    )


def after_cluster(millis_behind_now: int, continuation_token: str) -> list[bytes]:
    """The trailer, in one piece."""
    return [
        b"".join(
            _tags(
                (b"AWS_KINESISVIDEO_MILLIS_BEHIND_NOW", str(millis_behind_now)),
                (b"AWS_KINESISVIDEO_CONTINUATION_TOKEN", continuation_token),
            )
        )
    ]


def error_document(error_id: int, error_code: str, fragment_number: str) -> list[bytes]:
    """A document that tells of an error: EBML header, Segment and Tags, no Info, no Tracks, no Cluster."""
    return [
        ERROR_EBML_HEADER,
        SEGMENT_HEADER,
        *_tags(
            (b"AWS_KINESISVIDEO_ERROR_CODE", error_code),
            (b"AWS_KINESISVIDEO_ERROR_ID", str(error_id)),
            (b"AWS_KINESISVIDEO_FRAGMENT_NUMBER", fragment_number),
        ),
    ]


def _tags(*items: tuple[bytes, str]) -> list[bytes]:
    pieces: list[bytes] = []
    inside = 0
    for name, value in items:
        name_element = _element(b"\x45\xa3", name)
        value_element = _element(b"\x44\x87", value.encode("ascii"))
        size = len(name_element) + len(value_element)
        pieces += (_header(b"\x67\xc8", size), name_element, value_element)
        inside += 6 + size
    return [_header(b"\x12\x54\xc3\x67", 6 + inside), _header(b"\x73\x73", inside), *pieces]


def _header(element_id: bytes, size: int) -> bytes:
    return element_id + (0x10000000 | size).to_bytes(4)


def _element(element_id: bytes, data: bytes) -> bytes:
    return _header(element_id, len(data)) + data
