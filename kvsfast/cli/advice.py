"""What to do next about an error, in half a sentence: by its class, and by notes added on its way."""

from __future__ import annotations

from kvsfast.errors import (
    ClientLimitExceededException,
    ConnectionLimitExceededException,
    CredentialsError,
    GapError,
    InStreamError,
    LeaseLost,
    LimitExceeded,
    MediaError,
    NotAuthorizedException,
    ResourceNotFoundException,
    ServiceError,
    TransportError,
)

__all__ = ["advice"]

#: The first class that fits says it.
_ADVICE: tuple[tuple[type[Exception], str], ...] = (
    (CredentialsError, "give --profile, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    (ResourceNotFoundException, "check the stream's name and --region"),
    (
        NotAuthorizedException,
        "the credentials need kinesisvideo:GetDataEndpoint and kinesisvideo:GetMedia on the stream",
    ),
    (ConnectionLimitExceededException, "a stream has three connections at most: end another reader of it"),
    (ClientLimitExceededException, "a stream takes five calls a second: wait a little"),
    (GapError, "--gaps report goes on behind it"),
    (LeaseLost, "another process reads this stream with the same checkpoint"),
    (InStreamError, "what came before it was whole"),
    (LimitExceeded, "if the media is to be trusted, read it from Python with larger kvsfast.Limits"),
    (MediaError, "the tree of kvsfast inspect shows every element up to this place"),
    (FileNotFoundError, "check the path"),
    (PermissionError, "check its permissions"),
)


def advice(error: BaseException) -> str:
    """Empty where nothing can be said that the error does not say itself."""
    told = list(getattr(error, "__notes__", ()))
    told += [text for kind, text in _ADVICE if isinstance(error, kind)][:1]
    if not told and isinstance(error, ServiceError | TransportError) and error.retryable:
        told = ["the same call may succeed later"]
    elif not told and isinstance(error, ServiceError) and error.request_id:
        told = [f"AWS support can look up request {error.request_id}"]
    return "; ".join(told)
