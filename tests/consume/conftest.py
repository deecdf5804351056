from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.moto_server import moto_server


@pytest.fixture(scope="session")
def dynamodb_url() -> Iterator[str]:
    """A local DynamoDB, empty at first and shared by all tests: each takes tables of its own."""
    with moto_server() as url:
        yield url
