"""What a call tells of itself (:class:`kvsfast.LogMode`), with nothing secret in it."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

from kvsfast.options import LogMode
from kvsfast.protocols import Request, Response

#: Headers of which only the presence is told.
SECRET = frozenset(
    {"authorization", "cookie", "proxy-authorization", "set-cookie", "x-amz-security-token", "x-api-key"}
)
_SCOPE = re.compile(r"Credential=[^/,\s]*/([^,\s]+)")
_SIGNED = re.compile(r"SignedHeaders=([^,\s]+)")


class CallLog:
    """Writes to one logger what the mode asks for, at level DEBUG."""

    def __init__(self, logger: logging.Logger, mode: LogMode) -> None:
        self._logger = logger
        self._mode = mode

    def signing(self, request: Request) -> None:
        """What was signed, and for which scope."""
        if LogMode.SIGNING in self._mode:
            authorization = _lower(request.headers).get("authorization", "")
            scope, signed = _SCOPE.search(authorization), _SIGNED.search(authorization)
            self._logger.debug(
                "signed for %s: headers %s of %s",
                scope[1] if scope else "an unknown scope",
                signed[1] if signed else "unknown",
                told(request.headers),
            )

    def request(self, request: Request) -> None:
        if LogMode.REQUEST in self._mode:
            self._logger.debug(
                "%s %s with %s and %d bytes",
                request.method,
                without_secrets(request.url),
                told(request.headers),
                len(request.body),
            )

    def response(self, response: Response) -> None:
        if LogMode.RESPONSE in self._mode:
            self._logger.debug(
                "%d %s from %s (%s) with %s",
                response.status,
                response.reason,
                without_secrets(response.url),
                response.peer,
                told(response.headers),
            )

    def retries(self, message: str, *arguments: object) -> None:
        if LogMode.RETRIES in self._mode:
            self._logger.debug(message, *arguments)


def told(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers for a log."""
    return {name: "(hidden)" if name.lower() in SECRET else value for name, value in headers.items()}


def without_secrets(url: str) -> str:
    """A URL without name and password."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}
