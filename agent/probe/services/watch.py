"""Asks each service in its turn, one question at a time to one host, and tells what became of it."""

from __future__ import annotations

import logging
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from msgspec.structs import replace

from agent import reasons
from agent.collectors.registry import Metric, Output, StatusDocument
from agent.probe.contract import PartEndsError
from agent.probe.services.checking import check
from agent.probe.services.content import Content, contains
from agent.probe.services.picture import take_picture
from agent.probe.services.result import Result

if TYPE_CHECKING:
    from agent.probe.contract import PartContext
    from agent.probe.services.result import State
    from agent.probe.services.settings import Service, ServicesSettings

log = logging.getLogger("vonggac.probe.services")

SOURCE: Final = "service_checks"
KIND: Final = "service_check"
_AT_ONCE: Final = 6
#: One failure is not enough: it is asked again so soon, and counts as down when that fails too. A page that comes and
#: is not the right one is no failure of the network's, and counts at once.
_AGAIN_SECONDS: Final = 15.0
#: The first round is spread over so long, so that a probe that starts does not ask everything at once.
_FIRST_SECONDS: Final = 5.0


def run(context: PartContext[ServicesSettings]) -> None:
    """Until told to stop."""
    watch = Watch(context)
    with ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="service") as pool:
        while not context.stopping.is_set():
            for asked in watch.due(time.monotonic()):
                pool.submit(watch.ask, asked)
            context.stopping.wait(0.2)


class Asked:
    """One service and what is known of it. ``host``: whom it asks; ``due``: monotonic, ``None`` while it is asked."""

    def __init__(self, service: Service, kept: dict[str, Any]) -> None:
        self.service = service
        self.host = urlsplit(service.url).hostname or service.host or service.domain
        self.due: float | None = 0.0
        state, since = kept.get("state"), kept.get("since")
        self.state: State | None = state if state in ("up", "degraded", "down") else None
        self.since = float(since) if isinstance(since, int | float) else 0.0
        self.failed = 0
        self.body: dict[str, Any] | None = None


class Watch:
    def __init__(self, context: PartContext[ServicesSettings]) -> None:
        self._context = context
        self._settings = context.settings.services
        kept = context.memory(SOURCE).get("services")
        memories: dict[str, Any] = kept if isinstance(kept, dict) else {}
        self._asked = []
        for service in self._settings.service:
            memory = memories.get(service.name)
            asked = Asked(service, memory if isinstance(memory, dict) else {})
            asked.due = time.monotonic() + random.uniform(0, min(_FIRST_SECONDS, service.interval_seconds))  # noqa: S311
            self._asked.append(asked)
        self._contents = {
            each.name: Content(each, context.folder)
            for each in self._settings.service
            if each.kind == "http" and each.watch_content
        }
        self._lock = threading.Lock()
        if not self._asked:
            context.tell(SOURCE, Output())

    def due(self, now: float) -> list[Asked]:
        """Those whose turn it is, at most one of each host, none of a host that is just asked."""
        with self._lock:
            busy = {each.host for each in self._asked if each.due is None}
            found = []
            for each in self._asked:
                if each.due is not None and each.due <= now and each.host not in busy:
                    busy.add(each.host)
                    each.due = None
                    found.append(each)
        return found

    def ask(self, asked: Asked) -> None:
        """Ask once, and tell."""
        again = _AGAIN_SECONDS
        try:
            again = self._ask(asked)
        except PartEndsError:
            raise
        except Exception as error:
            # Nobody looks at what a thread of the pool raises: what was told last would stand for ever.
            log.exception("a service cannot be judged", extra={"service": asked.service.name})
            detail = f"{type(error).__name__}: {error}"[:150]
            self._context.fails(SOURCE, reasons.SERVICE_NOT_JUDGED(service=asked.service.name, detail=detail))
        finally:
            with self._lock:
                asked.due = time.monotonic() + again

    def _ask(self, asked: Asked) -> float:
        """The seconds until it is to be asked again."""
        service = asked.service
        result = self._result_of(asked)
        every = service.interval_seconds * random.uniform(0.9, 1.1)  # noqa: S311 - no secret
        if self._context.stopping.is_set():
            return every
        now = self._context.now()
        asked.failed = asked.failed + 1 if result.state == "down" else 0
        if asked.failed == 1 and asked.state != "down" and not result.status_code:
            self._tell(asked, [_up(asked, result, now)])
            return min(_AGAIN_SECONDS, service.interval_seconds)
        if result.state != asked.state:
            asked.state, asked.since = result.state, now
        content = self._look_at(asked, result, now)
        with self._lock:
            asked.body = {**_body(asked, result), **content}
        self._tell(asked, [_up(asked, result, now), *_seconds(asked, result, now)])
        return every

    def _result_of(self, asked: Asked) -> Result:
        """The check's, with a page that must say something held against it. What an answer breaks counts as a fault of
        the service: it is the service's word that cannot be read."""
        service = asked.service
        try:
            result = check(service, self._settings)
            if service.expect and result.status_code and not contains(result, service.expect, asked.host):
                return replace(result, state="down", reason=reasons.SERVICE_CONTENT())
        except Exception as error:
            log.exception("an answer cannot be read", extra={"service": service.name})
            return Result("down", 0.0, reasons.SERVICE_NOT_HTTP(detail=type(error).__name__))
        return result

    def _look_at(self, asked: Asked, result: Result, now: float) -> dict[str, Any]:
        """The content as the document carries it; of a page that did not come, what was last told."""
        content = self._contents.get(asked.service.name)
        if content is None:
            return {}
        if result.status_code and content.take(result, asked.host) and asked.service.screenshot:
            content.keep_picture(
                take_picture(asked.service, self._settings, self._context.folder, f"{int(now)}")
            )
        return {"content": content.told} if content.told else {}

    def _tell(self, asked: Asked, metrics: list[Metric]) -> None:
        """All documents where all are known: what is asked no more is then gone."""
        now = self._context.now()
        with self._lock:
            whole = all(each.body for each in self._asked)
            documents = [
                StatusDocument(KIND, now, each.body, each.service.name)
                for each in (self._asked if whole else [asked])
                if each.body is not None
            ]
            memory = {
                "services": {
                    each.service.name: {"state": each.state, "since": each.since} for each in self._asked
                }
            }
        self._context.tell(
            SOURCE, Output(documents=documents, metrics=metrics), partial=not whole, memory=memory
        )


def _body(asked: Asked, result: Result) -> dict[str, Any]:
    """Changes only where something has happened: how quickly it answers, metrics say."""
    body: dict[str, Any] = {
        "service": asked.service.name,
        "kind": asked.service.kind,
        "state": result.state,
        "since": round(asked.since, 3),
        "findings": list(result.findings),
    }
    if result.reason:
        body["reason"] = result.reason
    if result.status_code:
        body["status_code"] = result.status_code
    if result.tls:
        body["tls"] = result.tls
    return body


def _up(asked: Asked, result: Result, now: float) -> Metric:
    """1 or 0; none where the check could not be made is said by its absence."""
    attributes = {"service": asked.service.name, "kind": asked.service.kind, "state": result.state}
    return Metric("service.up_ratio", now, float(result.state in ("up", "degraded")), "ratio", attributes)


def _seconds(asked: Asked, result: Result, now: float) -> list[Metric]:
    if result.state not in ("up", "degraded"):
        return []
    attributes = {"service": asked.service.name, "kind": asked.service.kind}
    return [Metric("service.duration_seconds", now, result.seconds, "seconds", attributes)]
