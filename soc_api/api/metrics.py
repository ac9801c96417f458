"""``/metrics``: how the collector's processes and its rules fare, for Prometheus and whatever reads its text. Of the
state store, so that one process answers for all; and ``/pulse``, for a watcher that only asks whether the pipeline
lives.

Who may read ``/metrics``: this machine, and the addresses of ``[web] metrics_from``; nobody signs in for it. It holds
counts, rule ids and the names of the collector's own machines and of agencies in trouble, and nothing of people.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from fastapi import APIRouter, Request
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from sqlalchemy import select
from starlette.responses import JSONResponse, Response

from collector.exposition import Exposition
from collector.ingest.limits import is_loopback
from collector.rulebook import service as rulebook
from collector.rulebook.models import Book
from collector.rulebook.statistics import engines
from collector.state.tables import RuleChange, RuleFigures, WatchState
from collector.watch.record import PULSE
from soc_api.accounts.dependencies import RequestServices, client_address
from soc_api.errors import ForbiddenError
from soc_api.rulebook.service import state_of

router = APIRouter(include_in_schema=False)

#: Series of single rules are given for so many rules at most, the ones with most matches first.
MAX_RULES: Final = 2_000
#: The pulse counts as gone when the watch has not looked for so many of its own intervals.
_MISSED_LOOKS: Final = 6
_STATES: Final = ("ok", "slow", "noisy", "refused", "disabled")
#: What this process's sign of life is called.
PROCESS_NAME: Final = "web"
_COUNTERS: Final = {
    "correlation_events_evicted": "Events that correlations forgot before their time because of a limit",
    "canary_failures": "Values for which an expression's automaton did not answer and slower ways did",
    "shadow_checks": "Events that were also matched without the prefilter",
    "shadow_misses": "Of those, the ones where the prefilter had missed a match",
}


@router.get("/metrics")
def metrics(request: Request, services: RequestServices) -> Response:
    """Prometheus's text format 0.0.4, or OpenMetrics where it is asked for."""
    address = client_address(request)
    if not is_loopback(address) and address not in services.metrics_readers:
        raise ForbiddenError("metrics are not for this address: see [web] metrics_from")
    with services.state.read() as session:
        figures = rulebook.figures(session)
        said = engines(session)
        change = rulebook.latest_change(session)
    registry = Exposition(services.state, services.metrics.registry, PROCESS_NAME).registry()
    registry.register(_Rules(services.rules.book, figures, said, change))
    encode, kind = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(registry), media_type=kind)


@router.get("/pulse")
def pulse(services: RequestServices) -> JSONResponse:
    """200 while the collector looks at itself, 503 when it has not for long: the dead-man signal, for whoever asks."""
    with services.state.read() as session:
        looked_at = session.scalar(select(WatchState.looked_at).where(WatchState.concern == PULSE))
    age = None if looked_at is None else abs((services.clock() - looked_at).total_seconds())
    alive = age is not None and age <= max(60.0, _MISSED_LOOKS * services.settings.watch.seconds)
    return JSONResponse({"alive": alive, "age_seconds": age}, 200 if alive else 503)


class _Rules:
    """A collector in the sense of prometheus_client."""

    def __init__(
        self,
        book: Book,
        figures: dict[str, RuleFigures],
        engines: tuple[dict[str, float], datetime] | None,
        change: RuleChange | None,
    ) -> None:
        self._book, self._figures, self._engines, self._change = book, figures, engines, change

    def collect(self) -> Iterator[Metric]:
        yield self._states()
        yield from self._single()
        yield from self._engine()

    def _states(self) -> Metric:
        counts = dict.fromkeys(_STATES, 0)
        for entry in self._book.values():
            counts[state_of(entry, self._figures.get(entry.id))] += 1
        found = GaugeMetricFamily("vonggac_rules", "Rules, by how they fare", labels=["state"])
        for state, count in counts.items():
            found.add_metric([state], count)
        return found

    def _single(self) -> Iterator[Metric]:
        known = [row for row in self._figures.values() if row.rule_id in self._book]
        known.sort(key=lambda row: (row.matches, row.seconds), reverse=True)
        for name, words in (
            ("offered", "Events that a rule was offered"),
            ("candidates", "Events whose condition had to be looked at"),
            ("matches", "Events that a rule holds for"),
            ("throttled", "Findings that a limit held back"),
            ("seconds", "Time spent on a rule's own condition"),
        ):
            family = CounterMetricFamily(f"vonggac_rule_{name}", words, labels=["rule"])
            for row in known[:MAX_RULES]:
                family.add_metric([row.rule_id], getattr(row, name))
            yield family
        last = GaugeMetricFamily(
            "vonggac_rule_last_match_timestamp_seconds", "When a rule last held", labels=["rule"]
        )
        for row in known[:MAX_RULES]:
            if row.last_match_at is not None:
                last.add_metric([row.rule_id], row.last_match_at.timestamp())
        yield last
        left = max(0, len(known) - MAX_RULES)
        yield GaugeMetricFamily(
            "vonggac_rules_without_series", "Rules beyond the bound on series", value=left
        )

    def _engine(self) -> Iterator[Metric]:
        number = 0 if self._change is None else self._change.id
        yield GaugeMetricFamily(
            "vonggac_rules_change", "Number of the last change of the rules", value=number
        )
        if self._engines is None:
            return
        said, updated_at = self._engines
        yield GaugeMetricFamily(
            "vonggac_rules_change_applied",
            "Number of the last change that runs",
            value=said.get("change", 0.0),
        )
        yield GaugeMetricFamily(
            "vonggac_detect_rules_loaded",
            "Rules and correlations that run",
            value=said.get("rules_loaded", 0.0),
        )
        for name, words in _COUNTERS.items():
            yield CounterMetricFamily(f"vonggac_detect_{name}", words, value=said.get(name, 0.0))
        yield GaugeMetricFamily(
            "vonggac_detect_figures_timestamp_seconds",
            "When the workers wrote these figures, the oldest of them",
            value=updated_at.timestamp(),
        )
