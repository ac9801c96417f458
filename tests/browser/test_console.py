"""The console as a person uses it: sign in, read an alert, close it, at any width, with and without scripts."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

import pyotp
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select
from sqlalchemy import select

from collector.state.base import utcnow
from collector.state.tables import Alert, Document, Endpoint
from tests.support.stack import PASSWORD
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from selenium.webdriver.chrome.webdriver import WebDriver

    from tests.browser.conftest import Console

pytestmark = pytest.mark.browser

PAGES = (
    "/",
    "/?simulated=1",
    "/alerts?status=all&simulated=1",
    "/alerts/20",
    "/endpoints",
    "/assessment",
    "/assessment?check=linux.sshd_root_login&simulated=1",
    "/coverage",
    "/reports",
    "/incidents",
    "/rules",
    "/rules/6f0f5d0e-3f0c-4b0e-9d0a-5b8f6f8f2c71",
    "/rules/new",
    "/system",
)
_names = itertools.count(1)


def sign_in(console: Console, chromium: WebDriver, path: str = "/") -> str:
    """Through the form, as a new analyst (a code works once in 30 s); the user's name."""
    name = f"lan{next(_names)}"
    secret = console.analyst(name)
    chromium.get(console.stack.web + "/sign-in?next=" + path)
    chromium.find_element(By.ID, "username").send_keys(name)
    chromium.find_element(By.ID, "password").send_keys(PASSWORD)
    chromium.find_element(By.ID, "code").send_keys(pyotp.TOTP(secret).now(), Keys.ENTER)
    wait_until(lambda: "/sign-in" not in chromium.current_url, seconds=20, what="the page after signing in")
    return name


def open_alert(console: Console, subject: str) -> int:
    """An alert as detection would open it."""
    now = utcnow()
    with console.state.write() as session:
        like = session.scalars(select(Alert).where(Alert.status == "open")).first()
        assert like is not None
        alert = Alert(
            rule_id=like.rule_id,
            level="critical",
            subject=subject,
            subject_key=subject,
            endpoint_id=like.endpoint_id,
            agency_id=like.agency_id,
            first_event_at=now,
            last_event_at=now,
            created_at=now,
            updated_at=now,
        )
        session.add(alert)
        session.flush()
        return alert.id


def shown(chromium: WebDriver) -> str:
    """What stands on the page, in one look: an element may be replaced between two."""
    text: str = chromium.execute_script("return document.querySelector('main')?.innerText ?? ''")
    return text


def test_an_analyst_signs_in_with_a_code_reads_an_alert_and_closes_it(
    console: Console, chromium: WebDriver
) -> None:
    number = open_alert(console, "MAY-THU-1")
    name = sign_in(console, chromium)
    assert "Tổng quan" in shown(chromium)
    chromium.find_element(By.CSS_SELECTOR, f'a[href="/alerts/{number}"]').click()
    wait_until(lambda: "MAY-THU-1" in shown(chromium), seconds=10, what="the alert's page")
    assert "Cần làm gì" in shown(chromium)

    chromium.find_element(By.ID, "acknowledge").click()
    wait_until(lambda: "Đã tiếp nhận" in shown(chromium), seconds=10, what="the alert acknowledged")

    Select(chromium.find_element(By.ID, "reason")).select_by_value("true_positive_fixed")
    chromium.find_element(By.ID, "note").send_keys("Đã xử lý <xong>")
    chromium.find_element(By.CSS_SELECTOR, "#close button").click()
    wait_until(
        lambda: "Đã đóng: Cảnh báo đúng, đã khắc phục" in shown(chromium), seconds=10, what="it closed"
    )
    assert "Đã xử lý <xong>" in shown(chromium)
    with console.state.read() as session:
        row = session.get_one(Alert, number)
        assert (row.status, row.acknowledged_by, row.closed_by) == ("closed", name, name)


def test_a_new_alert_is_announced_and_nothing_moves_until_it_is_asked_for(
    console: Console, chromium: WebDriver
) -> None:
    sign_in(console, chromium, "/alerts")
    before = chromium.find_element(By.TAG_NAME, "table").text
    open_alert(console, "MAY-MOI-2")
    bar = "return document.querySelector('#live .live-bar')?.innerText ?? ''"
    wait_until(lambda: chromium.execute_script(bar), seconds=15, what="the bar of new alerts")
    assert "1 cảnh báo mới" in chromium.execute_script(bar)
    assert chromium.find_element(By.TAG_NAME, "table").text == before
    chromium.execute_script("document.querySelector('#live .live-bar a').click()")
    wait_until(lambda: "MAY-MOI-2" in shown(chromium), seconds=10, what="the new alert in the list")


def test_no_page_is_wider_than_a_telephone_and_none_breaks_its_own_policy(
    console: Console, chromium: WebDriver
) -> None:
    sign_in(console, chromium)
    with console.state.read() as session:
        endpoint = session.scalars(select(Endpoint.id)).first()
    for width in (390, 1440):
        metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600}
        chromium.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        tabs = ("", "?tab=software", "?tab=checks")
        for path in (*PAGES, *(f"/endpoints/{endpoint}{tab}" for tab in tabs)):
            chromium.get(console.stack.web + path)
            wide = chromium.execute_script(
                "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            assert wide == 0, f"{path} at {width} px is {wide} px too wide"


def test_the_language_and_the_colours_are_kept(console: Console, chromium: WebDriver) -> None:
    chromium.get(console.stack.web + "/sign-in")
    chromium.find_element(By.CSS_SELECTOR, 'button[name="lang"][value="en"]').click()
    wait_until(lambda: "One-time code" in shown(chromium), seconds=10, what="English")
    chromium.find_element(By.CSS_SELECTOR, 'button[name="theme"][value="dark"]').click()
    html = "return document.documentElement.dataset.bsTheme"
    wait_until(lambda: chromium.execute_script(html) == "dark", seconds=10, what="dark colours")
    colour = chromium.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert colour == "rgb(16, 22, 30)"


def test_an_alert_is_closed_without_scripts_and_with_the_keyboard_alone(
    console: Console, chromium: WebDriver
) -> None:
    number = open_alert(console, "MAY-THU-3")
    chromium.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    sign_in(console, chromium, f"/alerts/{number}")
    reason = chromium.find_element(By.ID, "reason")
    reason.send_keys("Cảnh báo giả", Keys.TAB, "thử", Keys.TAB, Keys.ENTER)
    wait_until(lambda: "Đã đóng: Cảnh báo giả" in shown(chromium), seconds=10, what="it closed")


def test_no_room_is_kept_for_a_chart_that_has_nothing_to_draw(console: Console, chromium: WebDriver) -> None:
    with console.state.read() as session:
        endpoint = session.scalar(select(Document.endpoint_id).where(Document.kind == "lan"))
    sign_in(console, chromium, f"/endpoints/{endpoint}")
    sentence = chromium.find_element(By.CLASS_NAME, "chart-fallback")
    assert sentence.is_displayed()
    assert not chromium.find_element(By.CLASS_NAME, "chart").is_displayed()
    card = chromium.find_element(By.XPATH, "//section[@aria-labelledby='h-lan']")
    below = card.rect["y"] + card.rect["height"] - sentence.rect["y"] - sentence.rect["height"]
    assert below < 40


def test_a_chart_takes_the_place_of_the_sentence_when_there_is_something_to_draw(
    console: Console, chromium: WebDriver
) -> None:
    with console.state.read() as session:
        endpoint = session.scalar(select(Document.endpoint_id).where(Document.kind == "lan"))
    answer = {
        "times": [1_795_206_000, 1_795_206_300],
        "series": [{"label": "x", "unit": "ms", "values": [1, 2]}],
    }
    sign_in(console, chromium)
    stub = f"window.fetch = async () => new Response({json.dumps(json.dumps(answer))})"
    chromium.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": stub})
    chromium.get(f"{console.stack.web}/endpoints/{endpoint}")
    wait_until(lambda: chromium.find_elements(By.CSS_SELECTOR, ".chart canvas"), seconds=10, what="the chart")
    canvas = chromium.find_element(By.CSS_SELECTOR, ".chart canvas")
    assert canvas.rect["width"] > 300
    assert not chromium.find_elements(By.CLASS_NAME, "chart-fallback")
