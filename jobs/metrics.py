"""What `sluice status` tells of the jobs, for Prometheus."""

from collections.abc import Iterator

from prometheus_client import REGISTRY, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from jobs.settings import Settings
from jobs.status import job_status

GAUGES = {
    "input_rows_per_second": "Records that came, per second.",
    "processed_rows_per_second": "Records that the last micro-batch processed, per second.",
    "offsets_behind": "Records that Kafka has and the query has not processed.",
    "freshness_seconds": "Age of the newest event that the query has processed.",
    "batch_seconds": "Duration of the last micro-batch.",
    "rows_quarantined": "Records refused since the table exists.",
    "rows_late": "Records later than the watermark since the table exists.",
    "rows_duplicate": "Records dropped as duplicates since the table exists.",
}


class JobCollector(Collector):
    """Reads the queries' figures whenever Prometheus asks."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """A gauge per figure, with a sample per query; and `sluice_up`, which is 1 for a query that runs."""
        jobs = job_status(self._settings)
        up = GaugeMetricFamily("sluice_up", "Whether the query runs.", labels=["job"])
        for job in jobs:
            up.add_metric([job["job"]], float(job["state"] == "running"))
        yield up
        for name, description in GAUGES.items():
            gauge = GaugeMetricFamily(f"sluice_{name}", description, labels=["job"])
            for job in jobs:
                if job[name] is not None:
                    gauge.add_metric([job["job"]], job[name])
            yield gauge


def serve_metrics(settings: Settings) -> None:
    """Serve them at ``http://SLUICE_LISTEN:SLUICE_METRICS_PORT/metrics`` until the process ends.

    Raises:
        OSError: the port is taken.
    """
    REGISTRY.register(JobCollector(settings))
    start_http_server(settings.metrics_port, addr=settings.listen)
