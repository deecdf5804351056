"""A DynamoDB table of plain items, changed under conditions only. The one module that knows boto3."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from kvsfast.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    import boto3.session
    from mypy_boto3_dynamodb import DynamoDBClient

__all__ = ["Item", "Table"]

#: Attributes by name. None, where it is given to write or to expect: the attribute is not there.
Item = dict[str, "str | int | float | None"]
KEY = "stream"
#: Attempts of one request, and the shortest timeout of one, in seconds.
ATTEMPTS = 3
SHORTEST_TIMEOUT = 1.0


class Table:
    """Items by the stream's name. Every failure is a CheckpointError. Used by many threads.

    ``patience``: seconds for one request with its retries, unless ``client_options`` have a ``config``.
    """

    def __init__(
        self,
        name: str,
        *,
        patience: float,
        session: boto3.session.Session | None,
        client_options: Mapping[str, Any],
    ) -> None:
        try:
            import boto3.session
        except ImportError:
            raise UsageError(
                "checkpoints in DynamoDB need the package boto3: pip install 'kvsfast[dynamodb]'"
            ) from None
        self.name = name
        self._session = session
        self._make_session = boto3.session.Session
        self._options = {"config": _config(patience), **client_options}
        self._client: DynamoDBClient | None = None
        self._is_closed = False
        self._lock = threading.Lock()

    def create(self) -> None:
        """Make the table and wait for it; one that exists is left alone."""
        with self._errors() as client:
            with suppress(client.exceptions.ResourceInUseException):
                client.create_table(
                    TableName=self.name,
                    AttributeDefinitions=[{"AttributeName": KEY, "AttributeType": "S"}],
                    KeySchema=[{"AttributeName": KEY, "KeyType": "HASH"}],
                    BillingMode="PAY_PER_REQUEST",
                )
            client.get_waiter("table_exists").wait(
                TableName=self.name, WaiterConfig={"Delay": 1, "MaxAttempts": 120}
            )

    def get(self, stream: str) -> Item | None:
        """The item as it is now."""
        with self._errors() as client:
            answer = client.get_item(TableName=self.name, Key={KEY: {"S": stream}}, ConsistentRead=True)
        return _plain(answer["Item"]) if "Item" in answer else None

    def scan(self) -> list[Item]:
        """All items."""
        items: list[Item] = []
        with self._errors() as client:
            for page in client.get_paginator("scan").paginate(TableName=self.name, ConsistentRead=True):
                items += map(_plain, page["Items"])
        return items

    def change(
        self, stream: str, values: Item, *, expected: Item, add: Mapping[str, int] | None = None
    ) -> Item | None:
        """Set or remove attributes, count others up, if all the ``expected`` ones are as they should be.

        The item as it is then; None: they were not, and nothing was changed, unless by a first attempt whose
        answer was lost, where ``expected`` has what the change itself changes.
        """
        names = {f"#{name}": name for name in (*values, *expected, *(add or {}))}
        placeholders: dict[str, Any] = {}
        changes = []
        kept = {name: value for name, value in values.items() if value is not None}
        if kept:
            changes.append("SET " + ", ".join(f"#{name} = :{name}" for name in kept))
            placeholders |= {f":{name}": _typed(value) for name, value in kept.items()}
        if removed := [f"#{name}" for name, value in values.items() if value is None]:
            changes.append("REMOVE " + ", ".join(removed))
        if add:
            changes.append("ADD " + ", ".join(f"#{name} :add_{name}" for name in add))
            placeholders |= {f":add_{name}": {"N": str(value)} for name, value in add.items()}
        conditions = []
        for name, value in expected.items():
            if value is None:
                conditions.append(f"attribute_not_exists(#{name})")
            else:
                conditions.append(f"#{name} = :is_{name}")
                placeholders[f":is_{name}"] = _typed(value)
        with self._errors() as client:
            try:
                answer = client.update_item(
                    TableName=self.name,
                    Key={KEY: {"S": stream}},
                    UpdateExpression=" ".join(changes),
                    ConditionExpression=" AND ".join(conditions),
                    ExpressionAttributeNames=names,
                    ExpressionAttributeValues=placeholders,
                    ReturnValues="ALL_NEW",
                )
            except client.exceptions.ConditionalCheckFailedException:
                return None
        return _plain(answer["Attributes"])

    def close(self) -> None:
        """Close the connections. A request that comes later, to release what was claimed too late, opens one
        for itself."""
        self._is_closed = True
        self._disconnect()

    def after_fork(self) -> None:
        """The connections are the parent's."""
        self._client = None
        self._lock = threading.Lock()

    @contextmanager
    def _errors(self) -> Iterator[DynamoDBClient]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield self._connected()
        except ClientError as error:
            code = error.response["Error"]["Code"]
            advice = "; create_table() makes it" if code == "ResourceNotFoundException" else ""
            raise CheckpointError(f"DynamoDB table {self.name}: {error}{advice}") from error
        except BotoCoreError as error:
            raise CheckpointError(f"DynamoDB table {self.name}: {error}") from error
        finally:
            if self._is_closed:
                self._disconnect()

    def _disconnect(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _connected(self) -> DynamoDBClient:
        with self._lock:
            if self._client is None:
                # A session of our own: boto3's default one may not be used by several threads.
                session = self._session or self._make_session()
                self._client = session.client("dynamodb", **self._options)
            return self._client


def _config(patience: float) -> Any:
    from botocore.config import Config

    timeout = max(SHORTEST_TIMEOUT, patience / ATTEMPTS)
    return Config(
        connect_timeout=timeout,
        read_timeout=timeout,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
    )


def _typed(value: str | int | float) -> dict[str, str]:
    return {"S": value} if isinstance(value, str) else {"N": repr(value)}


def _plain(attributes: Mapping[str, Any]) -> Item:
    """Strings and numbers; attributes of other types are not ours."""
    item: Item = {}
    for name, value in attributes.items():
        if "S" in value:
            item[name] = value["S"]
        elif "N" in value:
            text = value["N"]
            item[name] = int(text) if text.lstrip("-").isdigit() else float(text)
    return item
