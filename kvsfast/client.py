"""The client: GetMedia of Kinesis Video Streams, with boto3's keywords and credential chain."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from kvsfast.consume.checkpoint import CheckpointStore
from kvsfast.consume.consumer import Consumer
from kvsfast.consume.options import SessionChanges, SessionOptions
from kvsfast.consume.session import Session
from kvsfast.endpoint import DataEndpoints, stream_member, stream_name
from kvsfast.environment import Environment
from kvsfast.errors import UsageError
from kvsfast.model import StartSelector
from kvsfast.opening import Opener
from kvsfast.options import OptionChanges, Options
from kvsfast.protocols import CredentialsProvider
from kvsfast.retry import StandardRetry
from kvsfast.steps import Steps, drive
from kvsfast.stream import MediaStream
from kvsfast.transport import HttpTransport

if TYPE_CHECKING:
    import boto3.session
    import botocore.session
    from botocore.config import Config

__all__ = ["SERVICE_API_VERSION", "SERVICE_ID", "Client"]

SERVICE_ID = "Kinesis Video Media"
SERVICE_API_VERSION = "2017-09-30"


class Client:
    """Reads streams of one region with one identity. Safe for use by many threads.

    The keywords are boto3's: ``region_name``, ``aws_access_key_id``, ``aws_secret_access_key``,
    ``aws_session_token``, ``profile_name``, ``verify`` (False, or the path of a CA bundle), ``config``
    (botocore's Config: proxies, timeouts, client certificate, user agent ...), or a ready ``session`` of
    boto3 or botocore; what is not given comes from the environment and the profile as with boto3.
    ``credentials``: an object with ``get_frozen_credentials()`` in the place of keys.

    ``endpoint_url`` is the control plane, where GetDataEndpoint is asked. A data endpoint that is already
    known goes into ``media_endpoint_url`` (or AWS_ENDPOINT_URL_KINESIS_VIDEO_MEDIA), and nothing is asked.

    All further keywords are the fields of :class:`kvsfast.Options`.

    UsageError: an argument cannot be, or no region is found. Nothing is sent before the first call.
    """

    #: What the calls of this client are made with.
    options: Options

    def __init__(
        self,
        region_name: str | None = None,
        *,
        aws_access_key_id: str | None = None,
        aws_secret_access_key: str | None = None,
        aws_session_token: str | None = None,
        credentials: CredentialsProvider | None = None,
        profile_name: str | None = None,
        endpoint_url: str | None = None,
        verify: bool | str | None = None,
        config: Config | None = None,
        session: boto3.session.Session | botocore.session.Session | None = None,
        **options: Unpack[OptionChanges],
    ) -> None:
        self._environment = Environment(
            region_name=region_name,
            aws_access_key_id=aws_access_key_id,
            aws_secret_access_key=aws_secret_access_key,
            aws_session_token=aws_session_token,
            credentials=credentials,
            profile_name=profile_name,
            endpoint_url=endpoint_url,
            verify=verify,
            config=config,
            session=session,
        )
        self.options = Options().replace(**self._environment.option_defaults()).replace(**options)
        self._transport = HttpTransport(**self._environment.transport_settings())
        #: For other faces of the same client; not for users.
        self.opener = Opener(
            self._environment, DataEndpoints(), self._transport, self._environment.user_agent()
        )

    @classmethod
    def from_session(cls, session: boto3.session.Session | botocore.session.Session, **keywords: Any) -> Self:
        """A client with the region, profile and credentials of a boto3 or botocore session."""
        return cls(session=session, **keywords)

    @property
    def region_name(self) -> str:
        """The region, as given or found."""
        return self._environment.region

    def with_options(self, **changes: Unpack[OptionChanges]) -> Self:
        """A copy with other options. It shares credentials, known endpoints and TLS context with this one."""
        other = copy.copy(self)
        other.options = self.options.replace(**changes)
        return other

    def get_media(
        self,
        stream: str | None = None,
        start: StartSelector | Mapping[str, Any] | None = None,
        *,
        StreamName: str | None = None,  # noqa: N803  (botocore's own spelling)
        StreamARN: str | None = None,  # noqa: N803
        StartSelector: Mapping[str, Any] | None = None,  # noqa: N803
        **changes: Unpack[OptionChanges],
    ) -> MediaStream:
        """One GetMedia call: the response once its head has arrived. Use it in ``with``, since it stays open.

        ``stream``: a name or an ARN. ``start``: a :class:`kvsfast.StartSelector`, or botocore's dict of one.
        ``changes``: options for this call. Botocore's own request shape (StreamName or StreamARN,
        StartSelector) is taken as well.

        UsageError: an argument cannot be; nothing was sent. CredentialsError: there are none. ServiceError:
        the service refused, after the retries that ``options.retry`` allows. TransportError: the service
        could not be reached, or broke off.
        """
        stream, selector = media_arguments(
            stream, start, StreamName=StreamName, StreamARN=StreamARN, StartSelector=StartSelector
        )
        options = self.options.replace(**changes)
        body, metadata = drive(self.opener.open(stream, selector, options), options.ends_at())
        return MediaStream(body, metadata, strict=options.strict, limits=options.limits)

    def consume(
        self,
        stream: str,
        start: StartSelector | Mapping[str, Any],
        *,
        checkpoint: str | os.PathLike[str] | CheckpointStore | None = None,
        **options: Unpack[SessionChanges],
    ) -> Consumer:
        """Read a stream for ever: it reconnects, resumes where it was, drops what it had. Use it in ``with``.

        ``start``: where to begin; a ``checkpoint`` that is there wins over it. ``checkpoint``: the path of a
        SQLite file, or a :class:`kvsfast.CheckpointStore`, which stays open. ``options``: the fields of
        :class:`kvsfast.SessionOptions`. How a call is made is said by the client's own options; see there.

        UsageError: an argument cannot be. Nothing is sent before it is iterated, and errors come there.
        """
        stream_member(stream)
        selector = StartSelector.of(start)
        session_options = SessionOptions().replace(**options)
        store, close_store = _store(checkpoint)
        asked = replace(self.options.endpoint_options, stream=stream)

        def open(start: StartSelector, idle_timeout: float, deadline: float) -> Steps[MediaStream]:
            options = self.options.replace(retry=StandardRetry(max_attempts=1), deadline=deadline)
            body, metadata = yield from self.opener.open(stream, start, options)
            body.set_idle_timeout(idle_timeout)
            return MediaStream(body, metadata, limits=options.limits)

        session = Session(
            stream_name(stream),
            selector,
            open=open,
            forget_endpoint=partial(self.opener.endpoints.forget, asked),
            options=session_options,
            store=store,
            stall_after=self.options.idle_timeout,
            limits=self.options.limits,
        )
        return Consumer(session, on_close=close_store)

    def get_data_endpoint(self, stream: str, **changes: Unpack[OptionChanges]) -> str:
        """The URL that serves ``stream``: remembered for ``endpoint_lifetime``, or asked for now.

        A media_endpoint_url or endpoint_resolver of the options is not looked at.
        """
        stream_member(stream)
        options = self.options.replace(**changes)
        return drive(self.opener.data_endpoint(stream, options), options.ends_at())

    def close(self) -> None:
        """Close the connections that wait for another request. Open streams go on, and the client stays
        usable."""
        self._transport.close()
        self._environment.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<kvsfast.Client region_name={self.region_name!r}>"


def media_arguments(
    stream: str | None, start: StartSelector | Mapping[str, Any] | None, **shape: Any
) -> tuple[str, StartSelector]:
    """Stream and start of a call, checked, from our arguments or from botocore's request shape."""
    name = _only("stream", stream, StreamName=shape["StreamName"], StreamARN=shape["StreamARN"])
    selector = StartSelector.of(_only("start", start, StartSelector=shape["StartSelector"]))
    stream_member(name)
    return name, selector


def _store(
    checkpoint: str | os.PathLike[str] | CheckpointStore | None,
) -> tuple[CheckpointStore | None, Callable[[], None]]:
    """The store, and what closes it if it was opened here."""
    if isinstance(checkpoint, str | os.PathLike):
        from kvsfast.consume.sqlite import SqliteCheckpoints

        opened = SqliteCheckpoints(checkpoint)
        return opened, opened.close
    if checkpoint is not None and not callable(getattr(checkpoint, "claim", None)):
        raise UsageError(f"checkpoint is {checkpoint!r}, expected a path, or a store with claim()")
    return checkpoint, lambda: None


def _only(argument: str, value: Any, **others: Any) -> Any:
    """The one that was given of an argument and botocore's names for it."""
    given = {name: each for name, each in {argument: value, **others}.items() if each is not None}
    if len(given) != 1:
        names = ", ".join((argument, *others))
        told = f"{' and '.join(given)} are given" if given else "none is given"
        raise UsageError(f"exactly one of {names} says it, and {told}")
    return next(iter(given.values()))
