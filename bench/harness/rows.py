"""The rows of the table: what each measures, its goals, and how it is read from the reports."""

import dataclasses

from .phases import median

RATIO, ADDED, VALUE = "ratio", "added", "value"


@dataclasses.dataclass(frozen=True)
class Row:
    """A measure. RATIO compares with nginx, ADDED with no proxy at all; goals are upper limits of what
    is compared, `"nginx"` is what nginx has."""

    id: str
    title: str
    unit: str
    phase: str
    read: object
    kind: str = RATIO
    must: float | None = None
    aim: object = None
    digits: int = 1

    def compared(self, reports, target):
        """What the goals speak of, for one target: round by round, so that a busy minute of the machine
        counts on both sides, then the median."""
        mine, other = reports.get(target, []), reports.get("direct" if self.kind == ADDED else "nginx", [])
        if self.kind == VALUE:
            return self.value(reports, target)
        pairs = [(self.read(it), self.read(base)) for it, base in zip(mine, other)]
        pairs = [(it, base) for it, base in pairs if it is not None and base]
        return median([it - base if self.kind == ADDED else it / base for it, base in pairs])

    def value(self, reports, target):
        return median([self.read(it) for it in reports.get(target, [])])


def per_request(report):
    return report["cpu_us"] / report["ok"] if report["ok"] else None


def per_event(report):
    return report["cpu_us"] / report["events"] if report["events"] else None


def milliseconds(kind, quantile):
    def read(report):
        found = report[kind][quantile]
        return found / 1000 if found is not None else None
    return read


def per_stream(report):
    return (report["rss_kb"] - report["rss_idle_kb"]) / report["begun"] if report["begun"] else None


def megabytes(report):
    return report["rss_kb"] / 1024


def grown(report):
    return (report["rss_kb"] - report["rss_first_kb"]) / 1024


def errors(report):
    return report["errors"]


def field(name):
    return lambda report: report.get(name)


ROWS = [
    Row("1", "CPU, request of 62 KB", "µs", "agent", per_request, must=1.6, aim=1.0),
    Row("2", "CPU, request of 1 KB", "µs", "small", per_request, must=1.0, aim=0.5),
    Row("3", "CPU, request of 770 KB", "µs", "huge", per_request, must=4.5, aim=2.5),
    Row("4", "CPU, paced event", "µs", "paced", per_event, must=1.0, aim=0.8, digits=2),
    Row("5", "CPU, paced event, chat (nginx relays chat)", "µs", "chat paced", per_event, must=1.15, aim=0.9, digits=2),
    Row("6", "CPU, stream of 28 events at 1,000/s", "µs", "burst", per_request, must=1.2, aim=0.6),
    Row("7", "time to first byte that is added, 62 KB at 50/s, p50", "ms", "first byte", milliseconds("first_byte_us", "p50"),
        ADDED, must=0.30, aim="nginx", digits=2),
    Row("8", "CPU, request of 62 KB, chat (nginx relays the events)", "µs", "chat agent", per_request, must=3.0, aim=1.7),
    Row("8s", "CPU, request of 1 KB, chat (nginx relays the events)", "µs", "chat small", per_request),
    Row("9", "memory of an open stream, 5,000 open", "KB", "hold 5000", per_stream, VALUE, must=40, aim=15),
    Row("10", "errors of 9,000 open streams", "", "hold 9000", errors, VALUE, must=0, aim=0, digits=0),
    Row("10m", "memory with 9,000 open streams", "MB", "hold 9000", megabytes, VALUE, aim=150),
    Row("11", "memory when idle", "MB", "start", field("idle_mb"), VALUE, must=10, aim=6),
    Row("12", "start to the first 200", "ms", "start", field("started_ms"), VALUE, must=15, aim=6),
    Row("12l", "start to the first 200 with a usage log of 1 GB", "ms", "start", field("started_with_log_ms"), VALUE, must=15, aim=6),
    Row("13", "stripped binary", "MB", "start", field("binary_mb"), VALUE, must=10, aim=6),
    Row("14", "streamed requests one after the other, p50", "ms", "sequential", milliseconds("latency_us", "p50"), VALUE,
        must=5, aim=0.5, digits=2),
    Row("t1", "CPU, request of 62 KB, TLS upstream", "µs", "tls agent", per_request),
    Row("t4", "CPU, paced event, TLS upstream", "µs", "tls paced", per_event, digits=2),
    Row("t6", "CPU, stream of 28 events at 1,000/s, TLS upstream", "µs", "tls burst", per_request),
    Row("h1", "time to first byte among requests of 1 MB, p50", "ms", "among megabytes", milliseconds("first_byte_us", "p50"), digits=2),
    Row("h2", "time to first byte among requests of 1 MB, p99", "ms", "among megabytes", milliseconds("first_byte_us", "p99"), digits=2),
    Row("h3", "delay of an event among requests of 1 MB, p99", "ms", "among megabytes", milliseconds("relay_us", "p99"), digits=2),
    Row("s1", "time to first byte among 50 slow readers, p50", "ms", "among slow", milliseconds("first_byte_us", "p50"), digits=2),
    Row("s2", "memory for 50 slow readers of 5 MB", "MB", "among slow", grown),
    Row("s3", "time to first byte among 50 slow readers, TLS upstream, p50", "ms", "tls among slow",
        milliseconds("first_byte_us", "p50"), digits=2),
    Row("s4", "memory for 50 slow readers of 5 MB, TLS upstream", "MB", "tls among slow", grown),
]


def chosen(ids):
    """The rows of a list of ids, all without one; unknown ids are told by name."""
    if unknown := set(ids) - {it.id for it in ROWS}:
        raise ValueError(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(it.id for it in ROWS)}")
    return [it for it in ROWS if not ids or it.id in ids]
