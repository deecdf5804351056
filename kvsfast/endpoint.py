"""Where a stream's media is served: GetDataEndpoint by botocore's own client, remembered for a while.

The service allows five GetDataEndpoint calls a second per stream and guarantees nothing about an answer's
lifetime; the AWS SDKs for producers keep it for 40 minutes, and so do we. It is dropped earlier when it
fails.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from kvsfast.errors import UsageError
from kvsfast.faults import errors_of_botocore
from kvsfast.options import check_url
from kvsfast.protocols import Endpoint, EndpointResolver

if TYPE_CHECKING:
    from mypy_boto3_kinesisvideo import KinesisVideoClient

__all__ = ["endpoint_from_url"]

log = logging.getLogger(__name__)

_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,256}")
_ARN = re.compile(r"arn:[a-z0-9-]+:kinesisvideo:[a-z0-9-]+:[0-9]+:stream/([a-zA-Z0-9_.-]{1,256})/[0-9]+")
_MAX_ARN = 1024


def stream_member(stream: object) -> dict[str, str]:
    """The member of a request that names the stream: StreamName or StreamARN. UsageError if it is neither."""
    if not isinstance(stream, str):
        raise UsageError(f"stream is {stream!r}, expected a stream's name or ARN as str")
    if stream.startswith("arn:"):
        if len(stream) > _MAX_ARN or not _ARN.fullmatch(stream):
            raise UsageError(
                f"stream {stream!r} is not an ARN of the form "
                "arn:PARTITION:kinesisvideo:REGION:ACCOUNT:stream/NAME/CREATION_TIME"
            )
        return {"StreamARN": stream}
    if not _NAME.fullmatch(stream):
        raise UsageError(
            f"stream is {stream!r}, expected 1 to 256 of the characters a-z A-Z 0-9 _ . - or an ARN"
        )
    return {"StreamName": stream}


def stream_name(stream: str) -> str:
    """The name of a stream that is given by name or ARN."""
    match = _ARN.fullmatch(stream)
    return match[1] if match else stream


class DataEndpoints:
    """Answers of GetDataEndpoint by stream; one question at a time per stream, for all threads."""

    def __init__(
        self, control_client: Callable[[], KinesisVideoClient], *, lifetime: float = 40 * 60
    ) -> None:
        self._control_client = control_client
        self._lifetime = lifetime
        self._known: dict[str, tuple[str, float]] = {}
        self._asking: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def url_for(self, stream: str) -> str:
        """The data endpoint for GET_MEDIA. Fails as GetDataEndpoint does."""
        with self._lock:
            asking = self._asking.setdefault(stream, threading.Lock())
        with asking:
            url, until = self._known.get(stream, ("", 0.0))
            if time.monotonic() >= until:
                url = self._ask(stream)
                self._known[stream] = (url, time.monotonic() + self._lifetime)
        return url

    def forget(self, stream: str) -> None:
        """Ask again next time."""
        self._known.pop(stream, None)

    def _ask(self, stream: str) -> str:
        member: Mapping[str, Any] = stream_member(stream)
        client = self._control_client()
        with errors_of_botocore("GetDataEndpoint"):
            url = client.get_data_endpoint(APIName="GET_MEDIA", **member)["DataEndpoint"]
        log.debug("GetDataEndpoint: %s is served at %s", stream, url)
        return check_url("DataEndpoint", url)


def endpoint_from_url(url: str, **changes: Any) -> EndpointResolver:
    """A resolver that gives the same endpoint for every stream. ``changes``: other fields of ``Endpoint``."""
    endpoint = Endpoint(check_url("url", url), **changes)

    def resolve(stream: str, *, region: str) -> Endpoint:
        return endpoint

    return resolve
