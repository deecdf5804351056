"""The operations of the service: what GetDataEndpoint and GetMedia answer, and to whom."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from kvsfast.emulator.clock import Clock
from kvsfast.emulator.connection import Connection
from kvsfast.emulator.faults import BodyFault, HttpError, NoAnswer, Operation
from kvsfast.emulator.framing import Framing
from kvsfast.emulator.plans import Faults
from kvsfast.emulator.refusal import Refusal
from kvsfast.emulator.registry import Registry
from kvsfast.emulator.served import Served
from kvsfast.emulator.server import Answer, Request, Streaming, Unanswered
from kvsfast.emulator.session import FRAGMENT_NOT_FOUND, Session
from kvsfast.emulator.signature import SignatureCheck
from kvsfast.emulator.stream import FragmentNotFound
from kvsfast.errors import UsageError
from kvsfast.model import StartSelector

__all__ = ["Api"]

#: What a response says it is, though the document is Matroska: that is the real service's word for it.
CONTENT_TYPE = "video/webm"

_API_NAMES = {
    "PUT_MEDIA",
    "GET_MEDIA",
    "LIST_FRAGMENTS",
    "GET_MEDIA_FOR_FRAGMENT_LIST",
    "GET_HLS_STREAMING_SESSION_URL",
    "GET_DASH_STREAMING_SESSION_URL",
    "GET_CLIP",
    "GET_IMAGES",
}


class Api:
    """``streams``: those that are there at the moment. ``media_url``: where GetMedia is at the moment."""

    def __init__(
        self,
        *,
        streams: Registry,
        clock: Clock,
        signature: SignatureCheck,
        framing: Framing,
        faults: Faults,
        media_url: Callable[[], str],
    ) -> None:
        self._streams = streams
        self._clock = clock
        self._check_signature = signature
        self._framing = framing
        self._faults = faults
        self._media_url = media_url

    def get_data_endpoint(self, request: Request) -> Answer | Unanswered:
        """GetDataEndpoint: a 200 with the URL of the media plane."""
        asked = self._admit(request)
        api_name = asked.get("APIName")
        if api_name not in _API_NAMES:
            raise Refusal(
                "InvalidArgumentException",
                f"APIName is {api_name!r}, expected one of {', '.join(sorted(_API_NAMES))}",
            )
        served = self._find(asked)
        fault = self._fault_of(served, "GetDataEndpoint")
        if isinstance(fault, Unanswered):
            return fault
        if served.options.limits:
            served.endpoint_limits.count_call()
        if api_name != "GET_MEDIA":
            raise Refusal(
                "InvalidArgumentException",
                f"this local service has no data endpoint for {api_name}, only for GET_MEDIA",
            )
        return Answer(json.dumps({"DataEndpoint": self._media_url()}, separators=(",", ":")).encode())

    def get_media(self, request: Request) -> Streaming | Unanswered:
        """GetMedia: a 200 at once, then media."""
        asked = self._admit(request)
        try:
            start = StartSelector.from_dict(asked.get("StartSelector"))  # type: ignore[arg-type]  # it checks
        except UsageError as error:
            raise Refusal("InvalidArgumentException", str(error)) from None
        served = self._find(asked)
        fault = self._fault_of(served, "GetMedia")
        if isinstance(fault, Unanswered):
            return fault
        options = served.options
        if options.limits:
            served.media_limits.count_call()
        missing: str | None = None
        index = 0
        try:
            index = served.stream.index_of(start, now=options.now)
        except UsageError as error:
            raise Refusal("InvalidArgumentException", str(error)) from None
        except FragmentNotFound as error:
            if options.missing == "http-error":
                raise Refusal("InvalidArgumentException", f"there is no fragment {error}") from None
            index = error.next_index
            missing = str(error) if options.missing == "error-document" else None

        def write(connection: Connection) -> None:
            with served.responding(connection):
                session = Session(
                    served, connection, self._clock, self._framing, start=start, index=index, fault=fault
                )
                if missing is None:
                    session.run()
                else:
                    session.end_by_error(FRAGMENT_NOT_FOUND, missing)

        release = served.media_limits.open_connection(limited=options.limits)
        return Streaming(CONTENT_TYPE, write, release)

    def has_moved(self, request: Request) -> Answer:
        """What a data endpoint says that is none any more."""
        self._admit(request)
        raise Refusal(
            "InvalidEndpointException", "The caller used the wrong endpoint to read data from the stream."
        )

    def _fault_of(self, served: Served, operation: Operation) -> BodyFault | Unanswered | None:
        """What this request meets. Refusal if that is an error instead of the answer."""
        own = served.options.faults
        name = served.stream.name
        fault = (
            served.options.refusal
            or self._faults.decide(name, operation)
            or (own.decide(name, operation) if own is not None else None)
        )
        if isinstance(fault, HttpError):
            raise fault.refusal()
        if isinstance(fault, NoAnswer):
            return Unanswered(_leaving(fault, self._clock))
        return fault

    def _admit(self, request: Request) -> dict[str, Any]:
        """The parameters of a request that is signed as it should be."""
        self._check_signature(request.method, request.target, request.headers, request.body)
        try:
            asked = json.loads(request.body)
        except ValueError:
            raise Refusal("SerializationException", "the body is not JSON") from None
        if not isinstance(asked, dict):
            raise Refusal("SerializationException", "the body is not a JSON object")
        return asked

    def _find(self, asked: Mapping[str, Any]) -> Served:
        name, arn = asked.get("StreamName"), asked.get("StreamARN")
        if (name is None) == (arn is None):
            raise Refusal("InvalidArgumentException", "expected either StreamName or StreamARN")
        if arn is not None:
            parts = str(arn).split(":")
            path = parts[-1].split("/")
            if len(parts) != 6 or parts[2] != "kinesisvideo" or len(path) != 3 or path[0] != "stream":
                raise Refusal("InvalidArgumentException", f"StreamARN is {arn!r}, which is no stream's ARN")
            name = path[1]
        served = self._streams.find(str(name))
        if served is None:
            raise Refusal(
                "ResourceNotFoundException", f"The requested stream is not found or not active: {name}"
            )
        return served


def _leaving(fault: NoAnswer, clock: Clock) -> Callable[[Connection], None]:
    """How a connection ends on which nothing is answered."""

    def leave(connection: Connection) -> None:
        if fault.how == "stall":
            until = math.inf if fault.seconds is None else clock.now() + fault.seconds
            while clock.now() < until:
                connection.wait(until)
        connection.leave("close" if fault.how == "stall" else fault.how)

    return leave
