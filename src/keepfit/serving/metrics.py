"""What the gateway counts, in the text format of Prometheus (version 0.0.4)."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping

from keepfit.serving.conduct import Conduct

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)


_GAUGES = {"memory", "largest_difference", "mean_difference"}
_COUNTED = (
    *("rows", "rows_failed", "rows_not_finite", "requests", "faults", "late", "restarts", "dropped"),
    *("compared", "different", *sorted(_GAUGES)),
)

PREDICTING = ("/predict", "/invocations", "/infer")
"""How the paths end whose answers are timed."""


class Histogram:
    """Counts of observations by upper bound."""

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def lines(self, name: str) -> list[str]:
        total, out = 0, [f"# TYPE {name} histogram"]
        for bound, count in zip((*self._bounds, "+Inf"), self._counts, strict=True):
            total += count
            out.append(f'{name}_bucket{{le="{bound}"}} {total}')
        return [*out, f"{name}_sum {self._sum:.9g}", f"{name}_count {total}"]


class Metrics:
    """All counters of one gateway."""

    def __init__(self) -> None:
        self.requests: Counter[int] = Counter()
        """Answers by HTTP status."""
        self.rows = 0
        self.rows_failed = 0
        self.previous_answers = 0
        """Rows the previous champion answered because the champion could not."""
        self.restarts = 0
        self.log_dropped = 0
        self.latency = Histogram(SECONDS)
        self.batches = Histogram(ROWS)

    def seen(self, path: str, status: int, seconds: float) -> None:
        """An answer went out."""
        self.requests[status] += 1
        if path.endswith(PREDICTING):
            self.latency.add(seconds)

    def drop(self, rows: int) -> None:
        """The prediction log could not take these rows."""
        self.log_dropped += rows

    def text(self, gauges: dict[str, float]) -> str:
        """The page: everything counted, and the gauges given."""
        out = ["# TYPE keepfit_requests_total counter"]
        out += [f'keepfit_requests_total{{status="{s}"}} {n}' for s, n in sorted(self.requests.items())]
        counters = {
            "rows_total": self.rows,
            "rows_failed_total": self.rows_failed,
            "previous_champion_rows_total": self.previous_answers,
            "scorer_restarts_total": self.restarts,
            "log_dropped_rows_total": self.log_dropped,
        }
        for name, count in counters.items():
            out += [f"# TYPE keepfit_{name} counter", f"keepfit_{name} {count}"]
        for name, value in gauges.items():
            out += [f"# TYPE keepfit_{name} gauge", f"keepfit_{name} {value:g}"]
        out += self.latency.lines("keepfit_request_seconds")
        out += self.batches.lines("keepfit_batch_rows")
        return "\n".join(out) + "\n"


def conduct_text(conducts: Mapping[str, Conduct]) -> str:
    """The page's part on models that are compared, by route."""
    out = []
    for name in _COUNTED:
        kind, told = ("gauge", name) if name in _GAUGES else ("counter", f"{name}_total")
        out.append(f"# TYPE keepfit_route_{told} {kind}")
        out += [f'keepfit_route_{told}{{route="{route}"}} {getattr(c, name):g}' for route, c in conducts.items()]
    out.append("# TYPE keepfit_route_batch_p99_seconds gauge")
    out += [f'keepfit_route_batch_p99_seconds{{route="{r}"}} {c.slowest(0.01):g}' for r, c in conducts.items()]
    return "\n".join(out) + "\n"
