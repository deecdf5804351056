"""The service's clock, where ours is off.

A signature holds for five minutes around the service's time (the documentation says fifteen). When a refusal
tells that it is the time that does not fit, its Date header says by how much, and the next attempt is signed
by that. The AWS SDK for Go does the same.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from kvsfast.errors import KvsFastError, ServiceError

log = logging.getLogger(__name__)

#: Codes that services of AWS have for it. Some are used for other faults of a signature as well.
_CODES = frozenset(
    {
        "AuthFailure",
        "InvalidSignatureException",
        "RequestExpired",
        "RequestInTheFuture",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
    }
)
#: What Kinesis Video Streams writes, even where no code comes with it.
_WORDS = ("Signature expired", "Signature not yet current")
#: Seconds: less than this is within what the service allows, so the time was not the fault.
_LEAST = 240.0


class ServiceClock:
    """Ours, until a refusal tells otherwise. One for all calls of a client, from any thread."""

    def __init__(self) -> None:
        #: Seconds by which the service's clock is ahead of ours; negative: behind.
        self.ahead = 0.0

    def now(self) -> datetime:
        """The time to sign by."""
        return datetime.now(UTC) + timedelta(seconds=self.ahead)

    def learn(self, error: KvsFastError) -> bool:
        """Whether this was refused because of the time, which is known better now."""
        if not isinstance(error, ServiceError) or not (error.code in _CODES or _says_so(error)):
            return False
        told = _date_of(error)
        if told is None:
            return False
        ahead = (told - datetime.now(UTC)).total_seconds()
        if abs(ahead - self.ahead) < _LEAST:
            return False
        log.warning("the service's clock is %+.0f s from this machine's: signing by the service's", ahead)
        self.ahead = ahead
        return True


def _says_so(error: ServiceError) -> bool:
    return str(error.response["Error"]["Message"]).startswith(_WORDS)


def _date_of(error: ServiceError) -> datetime | None:
    headers = {key.lower(): value for key, value in error.response["ResponseMetadata"]["HTTPHeaders"].items()}
    try:
        told = parsedate_to_datetime(headers["date"])
    except (KeyError, ValueError):
        return None
    return told if told.tzinfo is not None else told.replace(tzinfo=UTC)
