"""The local service itself: its streams, its two ports, and all that can be done to them while it runs."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from kvsfast.emulator.api import Api
from kvsfast.emulator.clock import Clock
from kvsfast.emulator.faults import BodyFault, Ending, Fault, HttpError, Operation
from kvsfast.emulator.framing import Framing, Pieces
from kvsfast.emulator.media import Source
from kvsfast.emulator.options import StreamOptions
from kvsfast.emulator.plans import Faults, fault_of
from kvsfast.emulator.producer import Producer
from kvsfast.emulator.refusal import ERRORS
from kvsfast.emulator.registry import Registry
from kvsfast.emulator.served import Served
from kvsfast.emulator.server import HttpServer
from kvsfast.emulator.signature import CLOCK_SKEW, Credentials, SignatureCheck
from kvsfast.emulator.stream import Stream
from kvsfast.errors import UsageError

if TYPE_CHECKING:
    from kvsfast.emulator.tls import Certificate, LocalAuthority, TlsVersion

__all__ = ["Emulator"]

ACCOUNT = "123456789012"


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
    with a certificate made for this run (needs ``kvsfast[tls]``); ``certificate`` and ``tls_version``: which
    one, see :mod:`tls`. ``credentials``: the (access key, secret key), or with a session token, that are let
    in; requests must be signed for ``region``, at most ``clock_skew`` seconds away from ``clock`` (None: at
    any time).

    ``limits`` to ``retention_seconds``: of each stream, see :class:`options.StreamOptions`; ``configure``
    changes them for one. ``idle_seconds`` is by default 3 in real time, else 0.

    ``producer_start``: producer time of the first fragment in epoch seconds. ``opaque_tokens``: continuation
    tokens that differ from the fragment numbers. ``faults``: what goes wrong, see :mod:`faults` and
    :mod:`plans`. ``clock``: the service's time, see :mod:`clock`. ``seed`` settles all that looks random.
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
        certificate: Certificate = "valid",
        tls_version: TlsVersion | None = None,
        credentials: tuple[str, str] | tuple[str, str, str] = (
            "KVSFASTLOCALACCESS00",
            "kvsfast-local-secret",
        ),
        region: str = "us-east-1",
        clock_skew: float | None = CLOCK_SKEW,
        limits: bool = True,
        bandwidth: float | None = None,
        fragments_per_second: float | None = None,
        session_seconds: float = 2700.0,
        idle_seconds: float | None = None,
        retention_seconds: float | None = None,
        producer_start: float | None = None,
        opaque_tokens: bool = False,
        faults: Faults | None = None,
        clock: Clock | None = None,
        seed: int = 0,
    ) -> None:
        if pace not in ("max", "realtime"):
            raise UsageError(f'pace is {pace!r}, expected "max" or "realtime"')
        if not tls and (certificate != "valid" or tls_version is not None):
            raise UsageError("certificate and tls_version say how TLS is served: they need tls=True")
        self.region = region
        self.faults = Faults() if faults is None else faults
        self.clock = Clock() if clock is None else clock
        live = pace == "realtime"
        self._gather = gather
        self._ports = (port, media_port)
        self._tls: tuple[Certificate, TlsVersion | None] | None = (certificate, tls_version) if tls else None
        options = StreamOptions(
            limits=limits,
            bandwidth=bandwidth,
            fragments_per_second=fragments_per_second,
            session_seconds=session_seconds,
            idle_seconds=(3.0 if live else 0.0) if idle_seconds is None else idle_seconds,
            retention_seconds=retention_seconds,
        )
        self._signature = SignatureCheck(Credentials(*credentials), region, self.clock, clock_skew)
        framing = Framing(pieces, seed=seed)
        self._streams = Registry(
            streams,
            self.clock,
            framing,
            options,
            live=live,
            loop=loop,
            producer_start_ms=None if producer_start is None else round(producer_start * 1000),
            opaque_tokens=opaque_tokens,
            seed=seed,
        )
        self._api = Api(
            streams=self._streams,
            clock=self.clock,
            signature=self._signature,
            framing=framing,
            faults=self.faults,
            media_url=lambda: self.media_endpoint_url,
        )
        self._closed = threading.Event()
        self._control: HttpServer | None = None
        self._media: HttpServer | None = None
        self._former: list[HttpServer] = []
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
        if self._tls is not None:
            from kvsfast.emulator.tls import LocalAuthority

            self._authority = LocalAuthority(*self._tls)
        self._streams.open()
        context = self._authority.server_context if self._authority else None
        control = {"/getDataEndpoint": self._api.get_data_endpoint}
        self._control = HttpServer(self._ports[0], control, self.clock, tls=context)
        self._media = self._media_server(self._ports[1])
        self._control.start()
        self._media.start()

    def close(self) -> None:
        """End every response and connection, and wait for their threads. Once is enough."""
        self._closed.set()
        for server in (self._control, self._media, *self._former):
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

    @property
    def credentials(self) -> Credentials:
        """Those that are let in at the moment."""
        return self._signature.credentials

    def client_options(self) -> dict[str, Any]:
        """Keyword arguments for ``boto3.client("kinesisvideo", ...)`` and for ``kvsfast.Client``."""
        options = {
            "region_name": self.region,
            "endpoint_url": self.endpoint_url,
            "verify": self.ca_certificate_path or True,
            "aws_access_key_id": self.credentials.access_key,
            "aws_secret_access_key": self.credentials.secret_key,
        }
        if self.credentials.token is not None:
            options["aws_session_token"] = self.credentials.token
        return options

    # -- a stream

    def stream(self, name: str) -> Stream:
        """The stream of this name: its fragments, their numbers and times."""
        return self._served(name).stream

    def stream_arn(self, name: str) -> str:
        """The stream's ARN."""
        return f"arn:aws:kinesisvideo:{self.region}:{ACCOUNT}:stream/{name}/{self.stream(name).created_ms}"

    def open_connections(self, name: str) -> int:
        """How many GetMedia responses of the stream are going on."""
        return self._served(name).media_limits.open_connections

    def configure(self, name: str, **options: Any) -> None:
        """Change options of this stream from now on, by the names of :class:`options.StreamOptions`."""
        self._served(name).configure(**options)

    def producer(self, name: str, *, start: float | None = None) -> Producer:
        """A producer for the stream. ``start``: its first producer time in epoch seconds."""
        start_ms = None if start is None else round(start * 1000)
        return Producer(self.stream(name), self.clock.now_ms(), start_ms)

    def expire(self, name: str, count: int = 1) -> list[str]:
        """The retention passes for the oldest ``count`` fragments. Tells their numbers."""
        return self.stream(name).trim(count)

    def end_responses(self, name: str, how: Ending = "eof") -> None:
        """End all open responses of the stream, ``how`` as of :class:`faults.Cut`.

        One that waits ends at once; one whose client does not read, when it reads again.
        """
        self._served(name).end_responses(how)

    def fail_next(self, stream: str, code: str, *, times: int = 1, operation: Operation = "GetMedia") -> None:
        """The next requests for the stream get this HTTP error (``service.faults`` can do more)."""
        self.faults.plan(stream, HttpError(code), times=times, operation=operation)

    def poison(self, name: str, number: str, fault: Fault | str | None, *, times: int | None = None) -> None:
        """Every response that reaches this fragment meets the fault there, or the first ``times`` of them.

        Where in the fragment is the fault's ``inside``; None heals the fragment.
        """
        if fault is not None:
            fault = fault_of(fault)
            if not isinstance(fault, BodyFault) or getattr(fault, "after_bytes", None) is not None:
                raise UsageError(f"{fault!r} cannot lie in a fragment")
        self._served(name).poison(number, fault, times)

    # -- streams come and go

    def create_stream(self, name: str, source: Source | Sequence[Source] = (), **options: Any) -> Stream:
        """A new stream; UsageError if there is one of this name. ``options``: as of ``configure``."""
        self._running(self._control)
        served = self._streams.create(name, source)
        served.configure(**options)
        return served.stream

    def delete_stream(self, name: str, *, how: Ending = "eof") -> None:
        """The stream is gone from now on; its open responses end, see ``end_responses``."""
        self._running(self._control)
        self._streams.delete(name, how)

    def recreate_stream(
        self, name: str, source: Source | Sequence[Source] = (), *, how: Ending = "eof"
    ) -> Stream:
        """Delete the stream and create it again: numbers restart, so that they sort below the old ones.

        Its options stay.
        """
        self._running(self._control)
        return self._streams.recreate(name, source, how).stream

    def _served(self, name: str) -> Served:
        self._running(self._control)
        return self._streams[name]

    # -- the service around them

    def move_media_endpoint(self, *, former: Literal["invalid", "refused"] = "invalid") -> str:
        """GetMedia is served at another port from now on, and GetDataEndpoint tells that. The new URL.

        The ``former`` one answers InvalidEndpointException, and its open responses go on; or it refuses
        connections, and its responses are closed.
        """
        old = self._running(self._media)
        self._media = self._media_server(0)
        self._media.start()
        if former == "refused":
            old.close()
        else:
            old.operations = {"/getMedia": self._api.has_moved}
            self._former.append(old)
        return self._media.url

    def rotate_credentials(
        self,
        access_key: str,
        secret_key: str,
        token: str | None = None,
        *,
        refusal: str = "ExpiredTokenException",
    ) -> None:
        """Let these in from now on; what the former ones sign gets ``refusal``. Open responses go on."""
        if refusal not in ERRORS:
            raise UsageError(f"refusal is {refusal!r}, expected one of {', '.join(ERRORS)}")
        self._signature.rotate(Credentials(access_key, secret_key, token), refusal)

    def present_certificate(self, certificate: Certificate) -> None:
        """Show this certificate to new connections from now on."""
        if self._authority is None:
            raise UsageError("this Emulator serves no TLS")
        self._authority.present(certificate)

    def _media_server(self, port: int) -> HttpServer:
        context = self._authority.server_context if self._authority else None
        return HttpServer(
            port, {"/getMedia": self._api.get_media}, self.clock, tls=context, gather=self._gather
        )

    @staticmethod
    def _running(server: HttpServer | None) -> HttpServer:
        if server is None:
            raise UsageError("this Emulator is not started: use it in a with statement, or call start()")
        return server
