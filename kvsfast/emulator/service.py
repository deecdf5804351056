"""The local service itself: streams made from files, GetDataEndpoint and GetMedia over them."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from kvsfast.emulator.body import write_error_document
from kvsfast.emulator.connection import Connection
from kvsfast.emulator.faults import Faults, HttpError, Operation
from kvsfast.emulator.framing import Framing, Pieces
from kvsfast.emulator.limits import StreamLimits
from kvsfast.emulator.media import Media, Source
from kvsfast.emulator.refusal import Refusal
from kvsfast.emulator.server import Answer, HttpServer, Request, Streaming
from kvsfast.emulator.session import Prepared, Session, SessionOptions
from kvsfast.emulator.signature import Credentials, SignatureCheck
from kvsfast.emulator.stream import FragmentNotFound, Stream
from kvsfast.errors import UsageError
from kvsfast.model import StartSelector
from kvsfast.tags import IN_STREAM_ERRORS

if TYPE_CHECKING:
    from kvsfast.emulator.tls import LocalAuthority

__all__ = ["Emulator"]

#: What a response says it is, though the document is Matroska: that is the real service's word for it.
CONTENT_TYPE = "video/webm"
ACCOUNT = "123456789012"
#: What GetMedia writes into the media when it is asked for a fragment that it does not have.
FRAGMENT_NOT_FOUND = 4000

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


class _Served:
    """A stream, its media ready to be sent, and its limits."""

    def __init__(self, stream: Stream, prepared: Prepared, *, limits: bool) -> None:
        self.stream = stream
        self.prepared = prepared
        self.endpoint_limits = StreamLimits("GetDataEndpoint", stream.name, enabled=limits)
        self.media_limits = StreamLimits("GetMedia", stream.name, enabled=limits)


class Emulator:
    """A Kinesis Video service on loopback that any AWS SDK can talk to.

    ``streams``: name -> a Matroska or WebM file (path or bytes; a list of them is served one after the other;
    an empty list is a stream that holds nothing). Each Cluster is a fragment. A recorded GetMedia response
    will do, too.

    ``pace``: "max" has all fragments stored when the service starts, and sends them as fast as the client
    takes them; "realtime" ingests them from that moment on, frame by frame. ``loop`` repeats the media for
    ever under new numbers and times. ``pieces``: how the payload is divided among HTTP chunks, see
    :class:`framing.Framing`. ``gather=False`` sends each HTTP chunk by itself (a TLS record of its own, as on
    the real wire) instead of many at once.

    ``port``, ``media_port``: of the control plane and of GetMedia (0: any free one). ``tls``: serve https
    with a certificate made for this run (needs ``kvsfast[tls]``). ``credentials``: the one (access key,
    secret key) that is let in; requests must be signed for ``region``.

    ``limits``: keep the service's 5 calls a second and 3 connections per stream. ``bandwidth`` (bytes per
    second) and ``fragments_per_second`` slow each response down; the service's own are 25e6 and 5.
    ``session_seconds``: a response ends after this time. ``idle_seconds``: a response ends when there was
    nothing to send for so long; by default 3 in real time, else 0. ``retention_seconds``: how far back
    EARLIEST reaches.

    ``producer_start``: producer time of the first fragment in epoch seconds. ``opaque_tokens``: continuation
    tokens that differ from the fragment numbers. ``faults``: what goes wrong, see :mod:`faults`. ``clock``:
    the service's idea of epoch seconds. ``seed`` settles all that looks random.
    """

    def __init__(
        self,
        streams: Mapping[str, Source | Sequence[Source]],
        *,
        pace: Literal["max", "realtime"] = "max",
        loop: bool = False,
        pieces: Pieces = "element",
        gather: bool = True,
        port: int = 0,
        media_port: int = 0,
        tls: bool = False,
        credentials: tuple[str, str] = ("KVSFASTLOCALACCESS00", "kvsfast-local-secret"),
        region: str = "us-east-1",
        limits: bool = True,
        bandwidth: float | None = None,
        fragments_per_second: float | None = None,
        session_seconds: float = 2700.0,
        idle_seconds: float | None = None,
        retention_seconds: float | None = None,
        producer_start: float | None = None,
        opaque_tokens: bool = False,
        faults: Faults | None = None,
        clock: Callable[[], float] = time.time,
        seed: int = 0,
    ) -> None:
        if pace not in ("max", "realtime"):
            raise UsageError(f'pace is {pace!r}, expected "max" or "realtime"')
        for option, value in {"bandwidth": bandwidth, "fragments_per_second": fragments_per_second}.items():
            if value is not None and not value > 0:
                raise UsageError(f"{option} is {value!r}, expected more than 0, or None for no limit")
        live = pace == "realtime"
        self.credentials = Credentials(*credentials)
        self.region = region
        self.faults = Faults() if faults is None else faults
        self._clock = clock
        self._limits = limits
        self._bandwidth = bandwidth
        self._gather = gather
        self._ports = (port, media_port)
        self._tls = tls
        self._options = SessionOptions(
            session_seconds=session_seconds,
            idle_seconds=(3.0 if live else 0.0) if idle_seconds is None else idle_seconds,
            fragments_per_second=fragments_per_second,
        )
        self._check_signature = SignatureCheck(self.credentials, region, clock)
        framing = Framing(pieces, seed=seed)
        # Many streams may be made from one file; it is loaded and framed once.
        loaded: dict[str | int, tuple[Media, Prepared]] = {}
        self._sources: dict[str, tuple[Media, Prepared]] = {}
        for name, source in streams.items():
            key = str(source) if isinstance(source, str | os.PathLike) else id(source)
            if key not in loaded:
                media = Media(source)
                loaded[key] = media, Prepared(media, framing, by_frame=live)
            self._sources[name] = loaded[key]
        self._stream_options: dict[str, Any] = {
            "live": live,
            "loop": loop,
            "retention_ms": None if retention_seconds is None else int(retention_seconds * 1000),
            "producer_start_ms": None if producer_start is None else round(producer_start * 1000),
            "opaque_tokens": opaque_tokens,
            "seed": seed,
        }
        self._streams: dict[str, _Served] = {}
        self._closed = threading.Event()
        self._control: HttpServer | None = None
        self._media: HttpServer | None = None
        self._authority: LocalAuthority | None = None

    # -- life

    def start(self) -> Self:
        """Open both ports; now is the moment when stored media ends and live media begins."""
        if self._control is not None:
            raise UsageError("this Emulator was started before")
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        return self

    def _open(self) -> None:
        context = None
        if self._tls:
            from kvsfast.emulator.tls import LocalAuthority

            self._authority = LocalAuthority()
            context = self._authority.server_context
        for name, (media, prepared) in self._sources.items():
            stream = Stream(name, media, now_ms=self._now_ms, **self._stream_options)
            self._streams[name] = _Served(stream, prepared, limits=self._limits)
        control = {"/getDataEndpoint": self._get_data_endpoint}
        media_plane = {"/getMedia": self._get_media}
        self._control = HttpServer(self._ports[0], control, tls=context)
        self._media = HttpServer(
            self._ports[1], media_plane, tls=context, bandwidth=self._bandwidth, gather=self._gather
        )
        self._control.start()
        self._media.start()

    def close(self) -> None:
        """End every response and connection, and wait for their threads. Once is enough."""
        self._closed.set()
        for server in (self._control, self._media):
            if server is not None:
                server.close()
        if self._authority is not None:
            self._authority.close()

    def serve_forever(self) -> None:
        """Serve until ``close`` is called from another thread, or KeyboardInterrupt."""
        if self._control is None:
            self.start()
        try:
            self._closed.wait()
        finally:
            self.close()

    def __enter__(self) -> Self:
        return self if self._control is not None else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # -- where it is

    @property
    def endpoint_url(self) -> str:
        """The control plane: GetDataEndpoint is asked here."""
        return self._running(self._control).url

    @property
    def media_endpoint_url(self) -> str:
        """The data endpoint, as GetDataEndpoint tells it."""
        return self._running(self._media).url

    @property
    def ca_certificate_path(self) -> str | None:
        """PEM file to verify the service by (``verify=``, AWS_CA_BUNDLE); None without TLS."""
        self._running(self._control)
        return self._authority.certificate_path if self._authority else None

    def client_options(self) -> dict[str, Any]:
        """Keyword arguments for ``boto3.client("kinesisvideo", ...)`` and for ``kvsfast.Client``."""
        return {
            "region_name": self.region,
            "endpoint_url": self.endpoint_url,
            "verify": self.ca_certificate_path or True,
            "aws_access_key_id": self.credentials.access_key,
            "aws_secret_access_key": self.credentials.secret_key,
        }

    def stream(self, name: str) -> Stream:
        """The stream of this name: its fragments, their numbers and times."""
        self._running(self._control)
        return self._streams[name].stream

    def open_connections(self, name: str) -> int:
        """How many GetMedia responses of the stream are going on."""
        self._running(self._control)
        return self._streams[name].media_limits.open_connections

    def stream_arn(self, name: str) -> str:
        """The stream's ARN."""
        return f"arn:aws:kinesisvideo:{self.region}:{ACCOUNT}:stream/{name}/{self.stream(name).created_ms}"

    def fail_next(self, stream: str, code: str, *, times: int = 1, operation: Operation = "GetMedia") -> None:
        """The next requests for the stream get this HTTP error (``service.faults`` can do more)."""
        self.faults.plan(stream, HttpError(code), times=times, operation=operation)

    # -- what it does

    def _get_data_endpoint(self, request: Request) -> Answer:
        asked = self._admit(request)
        api_name = asked.get("APIName")
        if api_name not in _API_NAMES:
            raise Refusal(
                "InvalidArgumentException",
                f"APIName is {api_name!r}, expected one of {', '.join(sorted(_API_NAMES))}",
            )
        served = self._find(asked)
        fault = self.faults.decide(served.stream.name, "GetDataEndpoint")
        if isinstance(fault, HttpError):
            raise fault.refusal()
        served.endpoint_limits.count_call()
        if api_name != "GET_MEDIA":
            raise Refusal(
                "InvalidArgumentException",
                f"this local service has no data endpoint for {api_name}, only for GET_MEDIA",
            )
        return Answer(json.dumps({"DataEndpoint": self.media_endpoint_url}, separators=(",", ":")).encode())

    def _get_media(self, request: Request) -> Streaming:
        asked = self._admit(request)
        try:
            start = StartSelector.from_dict(asked.get("StartSelector"))  # type: ignore[arg-type]  # it checks
        except UsageError as error:
            raise Refusal("InvalidArgumentException", str(error)) from None
        served = self._find(asked)
        fault = self.faults.decide(served.stream.name, "GetMedia")
        if isinstance(fault, HttpError):
            raise fault.refusal()
        served.media_limits.count_call()
        missing: str | None = None
        index = 0
        try:
            index = served.stream.index_of(start)
        except UsageError as error:
            raise Refusal("InvalidArgumentException", str(error)) from None
        except FragmentNotFound as error:
            missing = error.args[0]

        def write(connection: Connection) -> None:
            if missing is None:
                Session(
                    served.stream,
                    served.prepared,
                    connection,
                    start=start,
                    index=index,
                    options=self._options,
                    now_ms=self._now_ms,
                    fault=fault,
                ).run()
            else:
                code = IN_STREAM_ERRORS[FRAGMENT_NOT_FOUND][0]
                write_error_document(connection, served.prepared.framing, FRAGMENT_NOT_FOUND, code, missing)
                connection.flush()

        return Streaming(CONTENT_TYPE, write, served.media_limits.open_connection())

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

    def _find(self, asked: Mapping[str, Any]) -> _Served:
        name, arn = asked.get("StreamName"), asked.get("StreamARN")
        if (name is None) == (arn is None):
            raise Refusal("InvalidArgumentException", "expected either StreamName or StreamARN")
        if arn is not None:
            parts = str(arn).split(":")
            path = parts[-1].split("/")
            if len(parts) != 6 or parts[2] != "kinesisvideo" or len(path) != 3 or path[0] != "stream":
                raise Refusal("InvalidArgumentException", f"StreamARN is {arn!r}, which is no stream's ARN")
            name = path[1]
        served = self._streams.get(str(name))
        if served is None:
            raise Refusal(
                "ResourceNotFoundException", f"The requested stream is not found or not active: {name}"
            )
        return served

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)

    @staticmethod
    def _running(server: HttpServer | None) -> HttpServer:
        if server is None:
            raise UsageError("this Emulator is not started: use it in a with statement, or call start()")
        return server
