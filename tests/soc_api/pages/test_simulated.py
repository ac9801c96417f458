"""One rule for what is simulated: it counts nowhere unless the address says so, and then everywhere, with its mark."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.testclient import TestClient

    from tests.soc_api.conftest import SignedIn, World
    from tests.soc_api.pages.conftest import Page


@pytest.fixture
def mixed(world: World) -> World:
    """One real machine with one open alert; two simulated machines with three open alerts and one closed."""
    world.endpoint(world.here, "REAL-PC")
    for name in ("SIM1-PC", "SIM2-PC"):
        world.endpoint(world.here, name, simulated=True)
    world.alert(world.here, "REAL-PC")
    for name in ("SIM1-PC", "SIM2-PC", "SIM1-PC again"):
        world.alert(world.here, name, simulated=True, level="critical")
    world.alert(world.here, "SIM1-PC closed", simulated=True, status="closed", closed_at=world.clock.now)
    return world


def as_json(client: TestClient, path: str) -> dict[str, object]:
    answer = client.get(path, headers={"accept": "application/json"})
    assert answer.status_code == 200, answer.text
    content: dict[str, object] = answer.json()
    return content


def badge(client: TestClient, path: str) -> str:
    html = client.get(path, headers={"accept": "text/html"}).text
    return html.split('id="open-alerts">')[1].split("<")[0]


@pytest.mark.parametrize(
    ("address", "known", "open_", "critical"), [("/", 1, 1, 0), ("/?simulated=1", 3, 4, 3)]
)
def test_every_number_of_the_overview_follows_the_same_choice(
    mixed: World, signed_in: SignedIn, address: str, known: int, open_: int, critical: int
) -> None:
    client = signed_in("admin")
    page = as_json(client, address)
    assert isinstance(page["figure"], dict)
    assert isinstance(page["by_level"], dict)
    assert isinstance(page["alerts"], list)
    assert isinstance(page["agencies"], list)
    assert page["figure"]["known"] == known
    assert (page["open"], page["by_level"]["critical"]) == (open_, critical)
    assert len(page["alerts"]) == open_
    assert [line["open_alerts"] for line in page["agencies"]] == [open_]
    assert (page["simulated_machines"], page["simulated_alerts"]) == (2, 3)
    assert badge(client, address) == str(open_)


@pytest.mark.parametrize(
    "path", ["/", "/alerts", "/incidents", "/system", "/coverage", "/endpoints", "/rules", "/reports"]
)
def test_the_badge_and_the_menu_follow_the_address_of_every_page(
    mixed: World, signed_in: SignedIn, look: Callable[..., Page], path: str
) -> None:
    client = signed_in("admin")
    assert badge(client, path) == "1"
    assert badge(client, path + "?simulated=1") == "4"
    menu = [link for link in look(client, path + "?simulated=1").links() if link.startswith("/alerts?")]
    assert "/alerts?simulated=1" in menu
    assert "/alerts" in look(client, path).links()


@pytest.mark.parametrize(
    ("choice", "shown"), [("", 1), ("?simulated=1", 4), ("?simulated=only", 3), ("?simulated=0", 1)]
)
def test_the_list_of_alerts_shows_real_ones_unless_told_otherwise_and_says_how_many_it_leaves_out(
    mixed: World, signed_in: SignedIn, look: Callable[..., Page], choice: str, shown: int
) -> None:
    client = signed_in("admin")
    page = as_json(client, "/alerts" + choice)
    assert isinstance(page["rows"], list)
    assert len(page["rows"]) == shown
    assert page["simulated_alerts"] == 3
    seen = look(client, "/alerts" + choice)
    assert ("3 simulated alerts that are not closed are left out here." in seen.text) == (shown == 1)
    marks = sum(tag == "span" and attrs.get("class") == "sim" for tag, attrs in seen.tags)
    assert marks == (0 if shown == 1 else 3)


@pytest.mark.parametrize(("choice", "names"), [("", 1), ("?simulated=1", 3), ("?simulated=only", 2)])
def test_the_list_of_machines_follows_the_same_choice(
    mixed: World, signed_in: SignedIn, choice: str, names: int
) -> None:
    page = as_json(signed_in("admin"), "/endpoints" + choice)
    assert isinstance(page["rows"], list)
    assert len(page["rows"]) == names
    assert page["simulated_machines"] == 2


def test_an_alert_that_was_opened_among_simulated_ones_leads_back_to_them(
    mixed: World, signed_in: SignedIn, look: Callable[..., Page]
) -> None:
    client = signed_in("analyst")
    page = look(client, "/alerts?simulated=only")
    (first, *_) = [link for link in page.links() if link.startswith("/alerts/")]
    assert first.endswith("?simulated=1")
    page = look(client, first)
    assert "/alerts?simulated=1" in page.links()
    client.headers.pop("X-CSRF-Token", None)
    answer = client.post(
        first.replace("?", "/acknowledge?"),
        data={"csrf_token": page.field("csrf_token") or ""},
        follow_redirects=False,
    )
    assert answer.headers["location"] == first


@pytest.mark.parametrize(("choice", "rows"), [("", 1), ("?simulated=1", 3), ("?simulated=only", 2)])
def test_the_list_of_incidents_follows_the_same_choice_and_marks_the_simulated_ones(
    world: World, signed_in: SignedIn, look: Callable[..., Page], choice: str, rows: int
) -> None:
    client = signed_in("analyst")
    real = world.alert(world.here, "REAL-PC")
    one, other = (world.alert(world.here, name, simulated=True) for name in ("SIM1-PC", "SIM2-PC"))
    for title, alerts in (("real", [real]), ("made", [one]), ("made too", [other])):
        assert client.post("/api/v1/incidents", json={"title": title, "alerts": alerts}).status_code == 201
    page = as_json(client, "/incidents" + choice)
    assert isinstance(page["rows"], list)
    assert page["simulated_incidents"] == 2
    seen = look(client, "/incidents" + choice)
    marks = sum(tag == "span" and attrs.get("class") == "sim" for tag, attrs in seen.tags)
    assert len(page["rows"]) == rows
    assert marks == (0 if rows == 1 else 2)
    assert ("2 simulated incidents of this status are left out here." in seen.text) == (choice == "")
    links = [link for link in seen.links() if link.startswith("/incidents/")]
    assert all(link.endswith("?simulated=1") == bool(choice) for link in links)


def test_the_system_page_says_how_many_of_the_agents_are_simulated(
    mixed: World, signed_in: SignedIn, look: Callable[..., Page]
) -> None:
    client = signed_in("admin")
    page = as_json(client, "/system")
    assert (page["endpoints"], page["simulated_endpoints"]) == (3, 2)
    seen = look(client, "/system")
    assert "2 of them" in seen.text
    assert (
        "/endpoints?state=silent&simulated=1" in seen.links()
    )  # the number counts them, so does the list behind it
    assert "/system?simulated=1&tab=dead" in look(client, "/system?simulated=1").links()
