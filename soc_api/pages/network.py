"""Network devices: the map of an agency, the list, and one device with its interfaces and their history."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from fastapi import Query as Parameter
from starlette.responses import Response

from collector.network import service
from collector.network.reading import Entry, Interface
from collector.network.service import Filters, Shown
from collector.state.tables import Agency, NetworkDevice
from soc_api.accounts.dependencies import RequestServices, require
from soc_api.accounts.permissions import Permission
from soc_api.accounts.principal import Principal
from soc_api.api.shapes import Number
from soc_api.network.drawing import Drawing, draw
from soc_api.pages.metrics import Series, series_of
from soc_api.pages.network_words import (
    CHARTS,
    DUPLEX,
    EVIDENCE,
    FAULT_CHARTS,
    INTERFACE_CHARTS,
    KINDS,
    STATUSES,
    UPS,
)
from soc_api.pages.query import SIMULATED, Query, Slice
from soc_api.pages.rows import Choice, choices
from soc_api.pages.visit import Visit

router = APIRouter()
Reader = Annotated[Principal, Depends(require(Permission.ENDPOINTS_READ))]
_ROWS: Final = 50
_ENTRIES: Final = 500
_CHART_HOURS: Final = 24
_COUNTED: Final = {"": frozenset({False}), "1": frozenset({False, True}), "only": frozenset({True})}
_GROUPS: Final = {"device": CHARTS, "traffic": INTERFACE_CHARTS, "faults": FAULT_CHARTS}


@dataclass(frozen=True)
class NetworkPage:
    """``drawing`` is None where no single agency is meant, or it has nothing to draw. ``state``: ``up``, ``down`` or
    empty."""

    query: Query
    drawing: Drawing | None
    evidence: dict[str, str]
    rows: list[tuple[NetworkDevice, Agency]]
    slice: Slice
    state: str
    kind: str
    kinds: dict[str, str]
    text: str
    simulated: str
    agency: str
    agencies: list[Choice]


@dataclass(frozen=True)
class InterfaceRow:
    """``cards`` were learned behind it; ``neighbours`` are what LLDP says, ``name (port)``."""

    interface: Interface
    cards: int
    neighbours: list[str]
    changed_at: datetime | None


@dataclass(frozen=True)
class NetworkDevicePage:
    """``chosen`` is the interface whose history is drawn, empty: the device's own."""

    id: int
    query: Query
    shown: Shown
    started_at: datetime | None
    interfaces: list[InterfaceRow]
    chosen: str
    entries: list[Entry]
    entries_total: int
    kinds: dict[str, str]
    statuses: dict[str, str]
    duplexes: dict[str, str]
    ups_words: dict[str, str]


@router.get("/network")
def show(request: Request, services: RequestServices, principal: Reader) -> Response:
    visit = Visit(request, services, principal)
    return visit.answer("network.html", build(visit))


@router.get("/network/{device_id}")
def show_device(
    device_id: Number, request: Request, services: RequestServices, principal: Reader
) -> Response:
    visit = Visit(request, services, principal)
    return visit.answer("network_device.html", build_device(visit, device_id))


@router.get("/network/{device_id}/history")
def history(
    device_id: Number,
    request: Request,
    services: RequestServices,
    principal: Reader,
    group: Annotated[str, Parameter(max_length=16)] = "device",
    interface: Annotated[str, Parameter(max_length=64)] = "",
) -> Response:
    """The last day's measurements for the chart, as JSON: ``{times, series: [{label, unit, values}]}``."""
    visit = Visit(request, services, principal)
    with services.state.read() as session:
        shown = service.get_device(session, principal.scope, device_id)
    charts = _GROUPS.get(group, CHARTS)
    wanted = tuple(
        Series(name, visit.t(label), unit, factor) for name, (label, unit, factor) in charts.items()
    )
    attributes = {"device": shown.row.item}
    if charts is not CHARTS:
        attributes["interface"] = interface
    since = visit.now - timedelta(hours=_CHART_HOURS)
    return series_of(services.store, shown.row.endpoint_id, wanted, since, attributes)


def build(visit: Visit) -> NetworkPage:
    query = visit.query("agency", "state", "kind", "text", "simulated", "page")
    simulated = query.choice("simulated", SIMULATED)
    state, kind = query.choice("state", ("up", "down")), query.choice("kind", KINDS)
    scope = visit.principal.scope
    with visit.services.state.read() as session:
        agencies = visit.agencies(session)
        chosen = next((each for each in agencies if each.code == query.text("agency")), None)
        filters = Filters(
            agency_id=None if chosen is None else chosen.id,
            reachable={"up": True, "down": False}.get(state),
            kind=kind,
            text=query.text("text"),
            simulated=_COUNTED[simulated],
        )
        number = query.number("page", 1)
        rows, total = service.list_devices(session, scope, filters, offset=(number - 1) * _ROWS, limit=_ROWS)
        # A reader of one agency has no choice to make: its map is drawn.
        found = {agency.id for _, agency in rows}
        one = chosen.id if chosen is not None else found.pop() if len(found) == 1 and total <= _ROWS else None
        topology = None if one is None else service.map_of(session, scope, one, simulated=_COUNTED[simulated])
    return NetworkPage(
        query=query,
        drawing=draw(topology) if topology is not None and topology.nodes else None,
        evidence=_words(visit, EVIDENCE),
        rows=rows,
        slice=Slice(number, _ROWS, total),
        state=state,
        kind=kind,
        kinds=_words(visit, KINDS),
        text=query.text("text"),
        simulated=simulated,
        agency=chosen.code if chosen is not None else "",
        agencies=choices(agencies),
    )


def build_device(visit: Visit, device_id: int) -> NetworkDevicePage:
    """Raises :class:`collector.errors.NotFoundError` where there is none within reach."""
    query = visit.query("interface")
    with visit.services.state.read() as session:
        shown = service.get_device(session, visit.principal.scope, device_id)
    device = shown.device
    cards: dict[str, int] = {}
    for entry in shown.entries:
        cards[entry.interface] = cards.get(entry.interface, 0) + 1
    told: dict[str, list[str]] = {}
    for each in device.neighbours:
        told.setdefault(each.interface, []).append(f"{each.system_name or each.chassis} ({each.port})")
    names = {each.name for each in device.interfaces}
    return NetworkDevicePage(
        id=device_id,
        query=query,
        shown=shown,
        started_at=_moment(device.started_at, visit),
        interfaces=[
            InterfaceRow(
                each, cards.get(each.name, 0), told.get(each.name, []), _moment(each.changed_at, visit)
            )
            for each in device.interfaces
        ],
        chosen=query.choice("interface", names),
        entries=sorted(shown.entries, key=lambda entry: (entry.uplink, entry.interface, entry.mac))[
            :_ENTRIES
        ],
        entries_total=len(shown.entries),
        kinds=_words(visit, KINDS),
        statuses=_words(visit, STATUSES),
        duplexes=_words(visit, DUPLEX),
        ups_words=_words(visit, UPS),
    )


def _words(visit: Visit, table: dict[str, str]) -> dict[str, str]:
    return {code: visit.t(text) for code, text in table.items()}


def _moment(seconds: int | None, visit: Visit) -> datetime | None:
    """A device's own word: what is no time of ours is none."""
    if seconds is None or not 0 < seconds < visit.now.timestamp() + 86_400:
        return None
    return datetime.fromtimestamp(seconds, tz=visit.now.tzinfo)
