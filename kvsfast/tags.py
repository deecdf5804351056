"""Tags: what the producer says of its media, and what the service adds to each fragment.

The service writes its own tags around the Cluster of each fragment under names that begin with
``AWS_KINESISVIDEO_`` (GetMedia, API reference). Those listed in :data:`SERVICE_TAGS` become typed fields
of the events; everything else is the producer's and stays here, in order and with repetitions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import overload

from kvsfast.errors import InStreamError

__all__ = ["IN_STREAM_ERRORS", "SERVICE_TAGS", "Tag", "Tags", "in_stream_error"]

#: Names that the service itself writes, and the field each one fills. GetMediaForFragmentList documents
#: a second family of names; both are read.
SERVICE_TAGS: dict[str, str] = {
    "AWS_KINESISVIDEO_FRAGMENT_NUMBER": "number",
    "AWS_KINESISVIDEO_SERVER_TIMESTAMP": "server_timestamp",
    "AWS_KINESISVIDEO_SERVER_SIDE_TIMESTAMP": "server_timestamp",
    "AWS_KINESISVIDEO_PRODUCER_TIMESTAMP": "producer_timestamp",
    "AWS_KINESISVIDEO_PRODUCER_SIDE_TIMESTAMP": "producer_timestamp",
    "AWS_KINESISVIDEO_MILLIS_BEHIND_NOW": "millis_behind_now",
    "AWS_KINESISVIDEO_CONTINUATION_TOKEN": "continuation_token",
    "AWS_KINESISVIDEO_ERROR_ID": "error_id",
    "AWS_KINESISVIDEO_ERROR_CODE": "error_code",
    "AWS_KINESISVIDEO_EXCEPTION_ERROR_CODE": "error_code",
    "AWS_KINESISVIDEO_EXCEPTION_MESSAGE": "error_message",
}


@dataclass(frozen=True, slots=True)
class Tag:
    """One SimpleTag (RFC 9559, section 5.1.8.1.2).

    ``value``: TagString, or None where there is none; ``binary``: TagBinary, or None. ``language``:
    TagLanguageBCP47 if given, else TagLanguage. ``track_uids`` and ``target_type_value`` come from the
    Targets of the Tag element around it. ``children``: nested SimpleTags.
    """

    name: str
    value: str | None = None
    binary: bytes | None = None
    language: str = "und"
    is_default: bool = True
    target_type_value: int = 50
    track_uids: tuple[int, ...] = ()
    children: tuple[Tag, ...] = ()


class Tags(tuple[Tag, ...]):
    """Tags in the order of the document; a name may occur more than once."""

    __slots__ = ()

    def __add__(self, other: tuple[Tag, ...]) -> Tags:  # type: ignore[override]
        return Tags((*self, *other))

    def __repr__(self) -> str:
        return f"Tags({', '.join(f'{tag.name}={tag.value!r}' for tag in self)})"

    @overload
    def get(self, name: str) -> str | None: ...
    @overload
    def get(self, name: str, default: str) -> str: ...
    def get(self, name: str, default: str | None = None) -> str | None:
        """The string value of the last tag of this name (a later one replaces an earlier), or ``default``."""
        for tag in reversed(self):
            if tag.name == name and tag.value is not None:
                return tag.value
        return default

    def all(self, name: str) -> list[str | None]:
        """The string values of every tag of this name, in order."""
        return [tag.value for tag in self if tag.name == name]

    def names(self) -> Iterator[str]:
        """The names, in order, with repetitions."""
        return (tag.name for tag in self)

    def to_dict(self) -> dict[str, str | None]:
        """Name to string value; of a repeated name the last."""
        return {tag.name: tag.value for tag in self}


#: error id -> (code, meaning, may the same read succeed later?)
#: 3002, 4000, 4500-4506 and 5000 are documented for GetMedia; 3000 was seen from GetMediaForFragmentList.
#: Whether to try again is not documented; it follows from the meaning.
IN_STREAM_ERRORS: dict[int, tuple[str, str, bool]] = {
    3000: ("FRAGMENT_NOT_FOUND", "the requested fragment was not found", True),
    3002: ("WRITE_ERROR", "error writing to the stream", True),
    4000: ("REQUESTED_FRAGMENT_NOT_FOUND", "the requested fragment is not found", True),
    4500: ("KMS_KEY_ACCESS_DENIED", "access denied for the stream's KMS key", False),
    4501: ("KMS_KEY_DISABLED", "the stream's KMS key is disabled", False),
    4502: ("KMS_KEY_VALIDATION_ERROR", "validation error on the stream's KMS key", False),
    4503: ("KMS_KEY_UNAVAILABLE", "the KMS key specified in the stream is unavailable", True),
    4504: ("KMS_KEY_INVALID_USAGE", "invalid usage of the KMS key specified in the stream", False),
    4505: ("KMS_KEY_INVALID_STATE", "invalid state of the KMS key specified in the stream", False),
    4506: ("KMS_KEY_NOT_FOUND", "unable to find the KMS key specified in the stream", False),
    5000: ("INTERNAL_ERROR", "internal error of the service", True),
}


def in_stream_error(
    error_id: str | None, error_code: str | None, message: str | None, fragment_number: str | None
) -> InStreamError:
    """The error that the tags of a document tell. Unknown ids and codes survive as they are.

    Without an id the code may be the number: EXCEPTION_ERROR_CODE is "the integer code"
    (GetMediaForFragmentList, API reference).
    """
    if not error_id and error_code and error_code.isascii() and error_code.isdigit():
        error_id, error_code = error_code, None
    try:
        number = int(error_id) if error_id else -1
    except ValueError:
        number = -1
    code, meaning, retryable = IN_STREAM_ERRORS.get(
        number, (error_code or "UNKNOWN", "an error unknown to kvsfast", False)
    )
    text = message or meaning
    return InStreamError(
        f"the service ended the media with error {number} {error_code or code}: {text}",
        error_id=number,
        error_code=error_code or code,
        fragment_number=fragment_number,
        retryable=retryable,
    )
