"""Where the service is and who asks: the arguments of subcommands that read streams, and their client."""

from __future__ import annotations

import argparse
import warnings
from typing import TYPE_CHECKING, Any

from kvsfast.cli.arguments import seconds

if TYPE_CHECKING:
    from kvsfast import Client

__all__ = ["add_client_arguments", "client_of"]


def add_client_arguments(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Adds them; returns the group of timeouts, which may take more."""
    place = parser.add_argument_group("where the service is, and who asks")
    place.add_argument("--region", metavar="NAME", help="e.g. eu-west-1")
    place.add_argument("--profile", metavar="NAME", help="a profile of the AWS configuration")
    place.add_argument("--endpoint-url", metavar="URL", help="where GetDataEndpoint is asked")
    place.add_argument("--media-endpoint-url", metavar="URL", help="the data endpoint, if it is known")
    trust = place.add_mutually_exclusive_group()
    trust.add_argument("--ca-bundle", metavar="FILE", help="certificates to trust, as PEM")
    trust.add_argument("--no-verify", action="store_true", help="trust any certificate")
    wire = parser.add_argument_group("patience")
    wire.add_argument(
        "--connect-timeout", type=seconds, metavar="S", help="for each attempt to connect (default: 60)"
    )
    wire.add_argument("--idle-timeout", type=seconds, metavar="S", help="without a byte (default: 60)")
    return wire


def client_of(arguments: argparse.Namespace, **options: Any) -> Client:
    """The client that the arguments describe. ``options``: further ones; None: its default."""
    from kvsfast.client import Client

    if arguments.no_verify:
        # Who asks for it needs no warning
        warnings.filterwarnings("ignore", message="Unverified HTTPS request")
    options |= {
        "media_endpoint_url": arguments.media_endpoint_url,
        "connect_timeout": arguments.connect_timeout,
        "idle_timeout": arguments.idle_timeout,
    }
    return Client(
        arguments.region,
        profile_name=arguments.profile,
        endpoint_url=arguments.endpoint_url,
        verify=False if arguments.no_verify else arguments.ca_bundle,
        **{name: value for name, value in options.items() if value is not None},
    )
