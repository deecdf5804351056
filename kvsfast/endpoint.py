"""Where a stream's media is served: GetDataEndpoint by botocore's own client, remembered for a while.

The service allows five GetDataEndpoint calls a second per stream and guarantees nothing about an answer's
lifetime; the AWS SDKs for producers keep it for 40 minutes, and so do we (``Options.endpoint_lifetime``). It
is dropped earlier when it fails.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any

from kvsfast.errors import UsageError
from kvsfast.faults import errors_of_botocore
from kvsfast.forking import survive_fork
from kvsfast.options import check_url
from kvsfast.protocols import Endpoint, EndpointOptions, EndpointResolver
from kvsfast.steps import Steps, Turn, Work

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
    """Answers of GetDataEndpoint by stream; one question at a time per stream, whoever asks.

    At most ``most`` answers are kept, those that were used last.
    """

    def __init__(self, *, most: int = 10_000) -> None:
        self._most = most
        self._known: OrderedDict[EndpointOptions, tuple[str, float]] = OrderedDict()
        self.after_fork()
        survive_fork(self)

    def after_fork(self) -> None:
        """A child asks for itself what its parent was just asking."""
        self._lock = threading.Lock()
        self._asking: dict[EndpointOptions, Future[None]] = {}

    def url_for(
        self, asked: EndpointOptions, control_client: Callable[[], KinesisVideoClient], lifetime: float
    ) -> Steps[str]:
        """The data endpoint for GET_MEDIA. Fails as GetDataEndpoint does."""
        url: str
        while True:
            with self._lock:
                url, since = self._known.get(asked, ("", 0.0))
                if url and time.monotonic() < since + lifetime:
                    self._known.move_to_end(asked)
                    return url
                others = self._asking.get(asked)
                if others is None:
                    mine = self._asking[asked] = Future()
            if others is not None:
                yield Turn(others)  # and look again: they may have failed
                continue
            try:
                url = yield Work(partial(_ask, asked.stream, control_client))
                with self._lock:
                    self._known[asked] = (url, time.monotonic())
                    self._known.move_to_end(asked)
                    if len(self._known) > self._most:
                        self._known.popitem(last=False)
                return url
            finally:
                with self._lock:
                    self._asking.pop(asked, None)
                mine.set_result(None)

    def forget(self, asked: EndpointOptions) -> None:
        """Ask again next time."""
        with self._lock:
            self._known.pop(asked, None)


def _ask(stream: str, control_client: Callable[[], KinesisVideoClient]) -> str:
    member: Mapping[str, Any] = stream_member(stream)
    client = control_client()
    with errors_of_botocore("GetDataEndpoint"):
        url = client.get_data_endpoint(APIName="GET_MEDIA", **member)["DataEndpoint"]
    log.debug("GetDataEndpoint: %s is served at %s", stream, url)
    return check_url("DataEndpoint", url)


def endpoint_from_url(url: str, **changes: Any) -> EndpointResolver:
    """A resolver that gives the same endpoint for every stream. ``changes``: other fields of ``Endpoint``."""
    endpoint = Endpoint(check_url("url", url), **changes)

    def resolve(region: str, options: EndpointOptions) -> Endpoint:
        return endpoint

    return resolve
