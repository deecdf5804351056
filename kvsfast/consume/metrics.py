"""Stats as metrics: for Prometheus and for OpenTelemetry (``pip install 'kvsfast[metrics]'``).

Nothing is counted here. Whoever scrapes or exports reads the snapshots that consumers keep anyway, so metrics
cost nothing in between. Each consumer is told apart by the label (attribute) ``stream``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol

from kvsfast.consume.stats import ConsumerStats

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

__all__ = ["METRICS", "HasStats", "PrometheusCollector", "observe_with_opentelemetry"]


class HasStats(Protocol):
    """A :class:`kvsfast.Consumer`, or what else has stats."""

    @property
    def stats(self) -> ConsumerStats:
        """A snapshot."""


class MetricOfStats(NamedTuple):
    """``name`` without prefix and unit; ``unit`` in UCUM's spelling, as OpenTelemetry wants it."""

    name: str
    unit: str
    is_counter: bool
    description: str
    value: Callable[[ConsumerStats], float | None]


METRICS = (
    MetricOfStats("fragments", "{fragment}", True, "Whole fragments delivered.", lambda s: s.fragments),
    MetricOfStats("frames", "{frame}", True, "Frames of them.", lambda s: s.frames),
    MetricOfStats("media", "By", True, "Bytes of them.", lambda s: s.size),
    MetricOfStats("calls", "{call}", True, "GetMedia calls made.", lambda s: s.calls),
    MetricOfStats("reconnects", "{response}", True, "Responses after the first.", lambda s: s.reconnects),
    MetricOfStats(
        "duplicates", "{fragment}", True, "Fragments dropped, having been delivered.", lambda s: s.duplicates
    ),
    MetricOfStats("refetches", "{fragment}", True, "Cut fragments fetched again.", lambda s: s.refetches),
    MetricOfStats(
        "rewound", "{fragment}", True, "Fragments that a producer sent again.", lambda s: s.rewound
    ),
    MetricOfStats(
        "mismatches", "{fragment}", True, "Fragments that came again otherwise.", lambda s: s.mismatches
    ),
    MetricOfStats("gaps", "{gap}", True, "Places where media is missing.", lambda s: s.gaps),
    MetricOfStats("resets", "{reset}", True, "Times the stream was created anew.", lambda s: s.resets),
    MetricOfStats(
        "behind_now",
        "ms",
        False,
        "Age of the last fragment when it was sent.",
        lambda s: s.millis_behind_now,
    ),
    MetricOfStats("idle", "s", False, "Time without media until now.", lambda s: s.idle_seconds),
    MetricOfStats("time_to_first_frame", "s", False, "From the first call.", lambda s: s.time_to_first_frame),
    MetricOfStats("pinned", "By", False, "Receive memory in use in the process.", lambda s: s.pinned_bytes),
)
#: Prometheus spells units out in a metric's name.
_UNITS = {"By": "_bytes", "ms": "_milliseconds", "s": "_seconds"}


class PrometheusCollector:
    """For ``prometheus_client``: ``REGISTRY.register(PrometheusCollector([consumer]))``.

    ``consumers`` is looked at at each scrape, so a list may grow and shrink. A metric is named
    ``kvsfast_behind_now_milliseconds``, a counter ``kvsfast_fragments_total``.
    """

    def __init__(self, consumers: Iterable[HasStats]) -> None:
        self._consumers = consumers

    def describe(self) -> Iterator[Metric]:
        """The metrics without values: what a registry asks when the collector is registered."""
        return (_family(metric) for metric in METRICS)

    def collect(self) -> Iterator[Metric]:
        """The metrics with values: what a registry asks at each scrape."""
        snapshots = [consumer.stats for consumer in self._consumers]
        for metric in METRICS:
            family = _family(metric)
            for stats in snapshots:
                value = metric.value(stats)
                if value is not None:
                    family.add_metric([stats.stream], value)
            yield family


def _family(metric: MetricOfStats) -> CounterMetricFamily | GaugeMetricFamily:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    kind = CounterMetricFamily if metric.is_counter else GaugeMetricFamily
    return kind(f"kvsfast_{metric.name}{_UNITS.get(metric.unit, '')}", metric.description, labels=["stream"])


def observe_with_opentelemetry(
    consumers: Iterable[HasStats], *, meter_provider: MeterProvider | None = None
) -> None:
    """Have OpenTelemetry observe consumers: instruments named ``kvsfast.behind_now``, ``kvsfast.fragments``
    ...

    ``consumers`` is looked at at each export. ``meter_provider``: the global one by default.
    """
    from opentelemetry.metrics import Observation, get_meter

    from kvsfast._version import __version__

    meter = get_meter("kvsfast", __version__, meter_provider)

    def observer(metric: MetricOfStats) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(options: CallbackOptions) -> Iterable[Observation]:
            for stats in [consumer.stats for consumer in consumers]:
                value = metric.value(stats)
                if value is not None:
                    yield Observation(value, {"stream": stats.stream})

        return observe

    for each in METRICS:
        create = meter.create_observable_counter if each.is_counter else meter.create_observable_gauge
        create(f"kvsfast.{each.name}", [observer(each)], each.unit, each.description)
