"""What botocore finds in keywords, environment and profile: region, keys, CA bundle, endpoints, timeouts.

Nothing is parsed here that botocore can parse. A boto3 session is used through its public methods only.
"""

from __future__ import annotations

import math
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

import botocore.session
from botocore.config import Config
from botocore.credentials import CredentialProvider, CredentialResolver
from botocore.httpsession import get_cert_path
from botocore.utils import ensure_boolean, validate_region_name

from kvsfast._version import __version__
from kvsfast.errors import CredentialsError, UsageError
from kvsfast.faults import credentials_errors, errors_of_botocore
from kvsfast.forking import survive_fork
from kvsfast.options import OptionChanges, check_url
from kvsfast.protocols import Credentials, CredentialsProvider, EndpointOptions, Request
from kvsfast.retry import AdaptiveRetry, StandardRetry
from kvsfast.service_clock import ServiceClock
from kvsfast.signer import SigV4

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest
    from mypy_boto3_kinesisvideo import KinesisVideoClient

_DATA_ENDPOINT = re.compile(r"[a-z]-[0-9a-f]{8}\.kinesisvideo\.", re.IGNORECASE)
_MEDIA_SERVICE = "kinesis_video_media"
#: Clients of the control plane that are kept, one for each combination of timeouts and kind of endpoint.
_MOST_CLIENTS = 8


_USUAL = EndpointOptions()


class Environment:
    """The caller's AWS surroundings, looked up once; credentials are asked for anew at each call."""

    region: str
    #: The data endpoint that AWS_ENDPOINT_URL_KINESIS_VIDEO_MEDIA or the profile names, or None.
    media_endpoint_url: str | None
    #: Path of the CA bundle, or False: certificates are not checked.
    verify: str | bool
    config: Any  # botocore's Config, whose attributes its stubs do not know

    def __init__(
        self,
        *,
        region_name: str | None = None,
        aws_access_key_id: str | None = None,
        aws_secret_access_key: str | None = None,
        aws_session_token: str | None = None,
        credentials: CredentialsProvider | None = None,
        profile_name: str | None = None,
        endpoint_url: str | None = None,
        verify: bool | str | None = None,
        config: Config | None = None,
        session: Any = None,
    ) -> None:
        keys = (aws_access_key_id, aws_secret_access_key, aws_session_token)
        _check_keys(keys, credentials)
        if endpoint_url is not None:
            check_url("endpoint_url", endpoint_url)
            _refuse_data_endpoint("endpoint_url", endpoint_url)
        if config is not None and not isinstance(config, Config):
            raise UsageError(f"config is {config!r}, expected botocore.config.Config")
        self.endpoint_url = endpoint_url
        self.config = config or Config()
        #: What requests are signed by.
        self.clock = ServiceClock()
        self._clients: OrderedDict[Hashable, KinesisVideoClient] = OrderedDict()
        self.after_fork()
        survive_fork(self)
        self._credentials: CredentialsProvider | None = credentials
        with errors_of_botocore("the configuration"):
            self._settle_session(session, profile_name, keys, credentials)
            self._settle_region(region_name)
            self._settle_verify(verify)
            self.media_endpoint_url = self._configured_media_endpoint()

    # -- what was found

    def credentials(self) -> Credentials:
        """The credentials that are valid now, refreshed if need be. CredentialsError if there are none."""
        with credentials_errors():
            if self._credentials is None:
                with self._lock:
                    self._credentials = self._session.get_credentials()
            if self._credentials is None:
                raise CredentialsError(
                    "no credentials were found: neither in keywords, environment variables and profile "
                    f"{self._settings.profile or 'default'!r} nor from a container or instance role"
                )
            frozen = self._credentials.get_frozen_credentials()
        if frozen is None or not (frozen.access_key and frozen.secret_key):
            raise CredentialsError(
                "the credentials gave no keys: get_frozen_credentials() must have access_key and secret_key"
            )
        return frozen

    def after_fork(self) -> None:
        """Botocore's clients have locks and connections of the parent's."""
        self._lock = threading.Lock()
        self._clients.clear()

    def control_client(
        self, connect_timeout: float, read_timeout: float, endpoint: EndpointOptions = _USUAL
    ) -> KinesisVideoClient:
        """Botocore's client of the control plane, made once for each set of arguments (timeouts in seconds).

        It does not retry: we do, and attempts would multiply.
        """
        # What kind of endpoint is meant settles which one is asked, unless the caller said which.
        kind = None if self.endpoint_url else (endpoint.disable_https, endpoint.fips, endpoint.dual_stack)
        key = (connect_timeout, read_timeout, kind)
        with self._lock:
            if key not in self._clients:
                self._clients[key] = self._make_client(connect_timeout, read_timeout, kind)
                if len(self._clients) > _MOST_CLIENTS:
                    self._clients.popitem(last=False)
            self._clients.move_to_end(key)
            return self._clients[key]

    def close(self) -> None:
        """Close the connections to the control plane; a further request opens new ones."""
        with self._lock:
            clients = list(self._clients.values())
        for client in clients:
            client.close()

    def _make_client(
        self, connect_timeout: float, read_timeout: float, kind: tuple[bool, bool, bool] | None
    ) -> KinesisVideoClient:
        create = getattr(self._session, "create_client", None) or self._session.client
        changes: dict[str, Any] = {
            "connect_timeout": _bounded(connect_timeout),
            "read_timeout": _bounded(read_timeout),
            "retries": {"total_max_attempts": 1, "mode": "standard"},
            "user_agent_extra": " ".join(filter(None, (_PRODUCT, self.config.user_agent_extra))),
        }
        disable_https, fips, dual_stack = kind or (False, False, False)
        if kind is not None:
            changes |= {"use_fips_endpoint": fips, "use_dualstack_endpoint": dual_stack}
        with errors_of_botocore("GetDataEndpoint"):
            client: KinesisVideoClient = create(
                "kinesisvideo",
                region_name=self.region,
                endpoint_url=self.endpoint_url,
                use_ssl=not disable_https,
                verify=self.verify,
                config=self.config.merge(Config(**changes)),
            )
        _refuse_data_endpoint("the configured endpoint of kinesisvideo", client.meta.endpoint_url)
        client.meta.events.register("before-send.kinesis-video.GetDataEndpoint", self._sign_again)
        return client

    def _sign_again(self, request: AWSPreparedRequest, **_: Any) -> None:
        """Botocore signs by the system's clock. Where that is known to be off, we sign instead."""
        if not self.clock.ahead or "Authorization" not in request.headers:
            return
        headers = {name: _text(value) for name, value in request.headers.items()}
        body = request.body if isinstance(request.body, bytes) else str(request.body or "").encode()
        ours = Request(request.method, request.url, headers, body)
        SigV4(self.clock.now).sign(ours, self.credentials(), region=self.region, service="kinesisvideo")
        for name, value in ours.headers.items():
            request.headers[name] = value

    def user_agent(self) -> str:
        """Botocore's own, or the configured one, and ours."""
        app_id = self.config.user_agent_appid or self._settings.get_config_variable("user_agent_appid")
        parts = (
            self.config.user_agent or self._settings.user_agent(),
            _PRODUCT,
            f"app/{app_id}" if app_id else None,
            self.config.user_agent_extra,
        )
        return " ".join(filter(None, parts))

    def transport_settings(self) -> dict[str, Any]:
        """The keywords of :class:`kvsfast.transport.HttpTransport`."""
        keepalive = self.config.tcp_keepalive
        if keepalive is None:
            keepalive = self._settings.get_config_variable("tcp_keepalive")
        return {
            "verify": self.verify,
            "client_cert": self.config.client_cert,
            "proxies": self.config.proxies,
            "proxies_config": self.config.proxies_config,
            "tcp_keepalive": bool(keepalive),
            "max_idle": self.config.max_pool_connections,
        }

    def option_defaults(self) -> OptionChanges:
        """What ``config`` and environment say about options that the caller left alone."""
        defaults: OptionChanges = {"media_endpoint_url": self.media_endpoint_url}
        defaults["connect_timeout"] = _timeout(self.config.connect_timeout)
        defaults["idle_timeout"] = _timeout(self.config.read_timeout)
        defaults["endpoint_options"] = EndpointOptions(
            fips=self._flag("use_fips_endpoint"), dual_stack=self._flag("use_dualstack_endpoint")
        )
        retries = self.config.retries or {}
        attempts = retries.get("total_max_attempts")
        if attempts is None and "max_attempts" in retries:
            attempts = retries["max_attempts"] + 1  # botocore's Config counts repetitions under this name
        if attempts is None:
            attempts = self._settings.get_config_variable("max_attempts")
        mode = retries.get("mode") or self._settings.get_config_variable("retry_mode")
        policy = AdaptiveRetry if mode == "adaptive" else StandardRetry
        defaults["retry"] = policy() if attempts is None else policy(max_attempts=attempts)
        return defaults

    def _flag(self, name: str) -> bool:
        given = getattr(self.config, name)
        value = self._settings.get_config_variable(name) if given is None else given
        return value is not None and bool(ensure_boolean(value))

    # -- how it is found

    def _settle_session(
        self,
        session: Any,
        profile_name: str | None,
        keys: tuple[str | None, str | None, str | None],
        credentials: CredentialsProvider | None,
    ) -> None:
        if session is not None:
            if profile_name is not None or keys[0] is not None:
                raise UsageError(
                    "session brings its own profile and keys; leave out profile_name and aws_..."
                )
            if not callable(getattr(session, "get_credentials", None)):
                raise UsageError(f"session is {session!r}, expected a botocore or boto3 session")
            self._session = session
            self._settings = session if hasattr(session, "get_config_variable") else _same_profile(session)
            return
        own = botocore.session.Session(profile=profile_name)
        access_key, secret_key, token = keys
        if access_key is not None and secret_key is not None:
            own.set_credentials(access_key, secret_key, token)
        if credentials is not None:
            own.register_component("credential_provider", CredentialResolver([_Given(credentials)]))
        self._session = self._settings = own

    def _settle_region(self, region_name: str | None) -> None:
        of_session = getattr(self._session, "region_name", None)  # boto3's have one of their own
        of_profile = self._settings.get_config_variable("region")
        region = region_name or self.config.region_name or of_session or of_profile
        if not region:
            raise UsageError(
                "region_name is not given, and neither AWS_DEFAULT_REGION nor the profile has one"
            )
        validate_region_name(region)
        self.region = region

    def _settle_verify(self, verify: bool | str | None) -> None:
        if verify is None:
            verify = self._settings.get_config_variable("ca_bundle")
        if verify is None:
            verify = os.environ.get("REQUESTS_CA_BUNDLE") or True
        if not isinstance(verify, bool | str):
            raise UsageError(f"verify is {verify!r}, expected True, False or the path of a CA bundle")
        self.verify = (get_cert_path(True) or True) if verify is True else verify

    def _configured_media_endpoint(self) -> str | None:
        """Only the service's own variable and profile entry: AWS_ENDPOINT_URL says where to ask, as for
        boto3, whose users pass the answer of GetDataEndpoint on."""
        ignore = self.config.ignore_configured_endpoint_urls
        if ignore is None:
            ignore = self._settings.get_config_variable("ignore_configured_endpoint_urls")
        if ignore is not None and ensure_boolean(ignore):
            return None
        name = f"AWS_ENDPOINT_URL_{_MEDIA_SERVICE.upper()}"
        if url := os.environ.get(name):
            return check_url(name, url)
        section = self._settings.get_scoped_config().get("services")
        services = self._settings.full_config.get("services", {}).get(section, {})
        if url := services.get(_MEDIA_SERVICE, {}).get("endpoint_url"):
            return check_url(f"endpoint_url of {_MEDIA_SERVICE} in services section {section}", url)
        return None


_PRODUCT = f"kvsfast/{__version__}"


class _Asked(botocore.credentials.Credentials):
    """Credentials of botocore whose keys are asked for each time."""

    def __init__(self, provider: CredentialsProvider) -> None:
        super().__init__("", "")
        self._provider = provider

    def get_frozen_credentials(self) -> Any:
        return self._provider.get_frozen_credentials()


class _Given(CredentialProvider):
    """The caller's own credentials, in the place of botocore's chain."""

    METHOD = "kvsfast-given"

    def __init__(self, credentials: CredentialsProvider) -> None:
        super().__init__()
        # botocore's clients ask credentials for more than the keys, e.g. for the account's id.
        is_botocores = isinstance(credentials, botocore.credentials.Credentials)
        self._credentials = credentials if is_botocores else _Asked(credentials)

    def load(self) -> Any:
        return self._credentials


def _same_profile(session: Any) -> botocore.session.Session:
    """A botocore session that reads the profile of a boto3 session, which does not show its settings."""
    profile = session.profile_name
    return botocore.session.Session(profile=profile if profile in session.available_profiles else None)


def _check_keys(
    keys: tuple[str | None, str | None, str | None], credentials: CredentialsProvider | None
) -> None:
    access_key, secret_key, token = keys
    if (access_key is None) != (secret_key is None):
        raise UsageError("aws_access_key_id and aws_secret_access_key come together; one of them is missing")
    if token is not None and access_key is None:
        raise UsageError("aws_session_token needs aws_access_key_id and aws_secret_access_key")
    if credentials is not None:
        if access_key is not None:
            raise UsageError("credentials and aws_access_key_id exclude each other")
        if not callable(getattr(credentials, "get_frozen_credentials", None)):
            raise UsageError("credentials must have get_frozen_credentials(), as botocore's Credentials have")


def _refuse_data_endpoint(argument: str, url: str) -> None:
    if _DATA_ENDPOINT.search(url):
        raise UsageError(
            f"{argument} is {url!r}, which looks like a data endpoint; endpoint_url is where GetDataEndpoint "
            "is asked, and a data endpoint goes into media_endpoint_url"
        )


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")


def _bounded(seconds: float) -> float | None:
    """As botocore takes it: None waits for ever."""
    return seconds if seconds < math.inf else None


def _timeout(seconds: float | None) -> float:
    return math.inf if seconds is None else seconds
