"""The parts that pages are made of: text from outside, addresses, words, files."""

from __future__ import annotations

import hashlib
import html
import json
import os
import re
import unicodedata
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.alerts import models as alerts
from collector.coverage.models import REASONS, STATES, Reason
from dashboards import STATIC
from dashboards.build import ASSETS as BUILD
from soc_api.i18n import translator
from soc_api.incidents import service as incidents
from soc_api.incidents.deadlines import deadlines
from soc_api.pages import reasons, words
from soc_api.pages.assets import Assets
from soc_api.pages.query import Query
from soc_api.pages.render import breakable, plain, visible
from soc_api.pages.rows import event_fields, event_summary, flatten
from soc_api.pages.visit import own_path

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.testclient import TestClient

TAG = re.compile(r"<span class=\"unseen\">(U\+[0-9A-F]{4,6})</span>|<wbr>")
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=20,
)


@given(st.text())
def test_shown_text_holds_no_markup_and_no_character_that_hides_or_reorders(text: str) -> None:
    for shown in (str(visible(text)), str(breakable(text))):
        bare = TAG.sub("", shown)
        assert "<" not in bare
        assert '"' not in bare
        unseen = [char for char in bare if unicodedata.category(char) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]
        assert set(unseen) <= {"\t", "\n"}


@given(st.text())
def test_text_for_attributes_holds_no_character_that_hides_or_reorders(text: str) -> None:
    unseen = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert not [char for char in plain(text) if unicodedata.category(char) in unseen]
    assert len(plain(text)) == len(text)


@given(st.text(alphabet=st.characters(exclude_categories=["C", "Z"]), max_size=300))
def test_ordinary_text_is_shown_as_it_is(text: str) -> None:
    assert html.unescape(str(visible(text))) == text
    assert html.unescape(str(breakable(text)).replace("<wbr>", "")) == text


def test_long_text_is_cut_with_a_mark() -> None:
    assert str(visible("x" * 50, 10)) == "x" * 10 + "…"


@given(JSON)
def test_any_event_can_be_read(value: object) -> None:
    reader = words.Words(translator("vi"))
    fields = {"event.action": "x", "any": value, "host": {"name": value}}
    assert all(isinstance(row.value, str) for row in event_fields(fields, reader))
    assert isinstance(event_summary(fields, reader), str)


def test_nested_fields_get_dotted_names() -> None:
    assert flatten({"a": {"b": {"c": 1}}, "d.e": 2, "f": [{"g": 3}]}) == {
        "a.b.c": 1,
        "d.e": 2,
        "f": [{"g": 3}],
    }


@given(st.dictionaries(st.sampled_from(["level", "text", "page", "after"]), st.text(max_size=40)))
def test_an_address_read_and_written_again_says_the_same(parameters: dict[str, str]) -> None:
    query = Query.of("/alerts", parameters, ("level", "text", "page", "after"))
    again = Query.of(
        "/alerts", dict(parse_qsl(urlsplit(query.link()).query)), ("level", "text", "page", "after")
    )
    assert {k: v.strip() for k, v in again.values.items()} == {
        k: v.strip() for k, v in query.values.items() if v.strip()
    }


def test_a_changed_filter_leads_back_to_the_first_page() -> None:
    query = Query("/alerts", {"level": "high", "page": "3", "after": "newest:0:4"})
    assert query.link(level="low") == "/alerts?level=low"
    assert query.link(page=4) == "/alerts?after=newest%3A0%3A4&level=high&page=4"
    assert query.link(level=None) == "/alerts"


@pytest.mark.parametrize(
    "target",
    [
        "//evil.example/x",
        "https://evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "",
        "alerts",
        "/a\r\nSet-Cookie: x",
        "http:/x",
        "/\t/evil",
        "\\\\evil",
    ],
)
def test_a_redirect_never_leaves_the_site(target: str) -> None:
    assert own_path(target) == "/"


def test_a_redirect_goes_back_to_a_page_of_ours() -> None:
    assert own_path("/alerts?level=high&text=%C4%91") == "/alerts?level=high&text=%C4%91"


def test_every_code_that_the_system_uses_has_a_word() -> None:
    assert tuple(words.STATES) == STATES == tuple(words.STATE_MEANINGS) == tuple(words.STATE_ICONS)
    assert tuple(words.LEVELS) == alerts.LEVELS
    assert tuple(words.ALERT_STATUSES) == alerts.STATUSES
    assert tuple(words.CLOSE_REASONS) == alerts.CLOSE_REASONS
    assert set(words.INCIDENT_STATUSES) == set(incidents.TRANSITIONS)
    assert set(words.INCIDENT_CLOSE_REASONS) == set(incidents.CLOSE_REASONS)
    assert set(words.DEADLINES) == {deadline.key for deadline in deadlines()}
    assert set(reasons.SENTENCES) == set(REASONS)


@pytest.mark.parametrize("code", sorted(REASONS))
@pytest.mark.parametrize("lang", ["vi", "en"])
def test_every_reason_is_a_sentence_even_without_its_parameters(code: str, lang: str) -> None:
    text = reasons.sentence(translator(lang), Reason(code, {}))
    assert len(text) > 10
    assert "%(" not in text


def test_a_gateway_is_said_to_need_no_agent_and_nobody_is_named_where_nobody_is_known() -> None:
    t, reason = translator("en"), Reason("no_agent", {"ip": "10.0.0.1", "mac": "m", "seen_by": ""})
    assert "needs no agent" in reasons.sentence(t, reason, counted=False)
    assert reasons.sentence(t, reason) == "Seen on the network as 10.0.0.1 (m), without an agent"


def test_every_picture_that_is_used_is_drawn() -> None:
    drawn = set(re.findall(r'<symbol id="([a-z-]+)"', (STATIC / "icons.svg").read_text()))
    assert set(words.STATE_ICONS.values()) | set(words.LEVELS) <= drawn
    templates = "".join(path.read_text() for path in (STATIC.parent / "templates").rglob("*.html"))
    used = set(re.findall(r'ui\.icon\("([a-z-]+)"', templates)) | set(
        re.findall(r'entry\("[^"]*", "([a-z-]+)"', templates)
    )
    assert used <= drawn


def test_the_lock_file_names_exact_versions_and_no_host() -> None:
    text = (BUILD / "package-lock.json").read_text()
    assert "://" not in text
    packages = json.loads(text)["packages"]
    assert all("integrity" in package for name, package in packages.items() if name)
    wanted = json.loads((BUILD / "package.json").read_text())
    assert all(re.fullmatch(r"[0-9.]+", version) for version in wanted["dependencies"].values())


def test_a_file_is_kept_for_a_year_under_its_digest_only(anonymous: TestClient) -> None:
    found = re.search(r"/static/console\.css\?v=[0-9a-f]{12}", anonymous.get("/sign-in").text)
    assert found
    answer = anonymous.get(found[0])
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-encoding"] == "gzip"
    assert ".shell" in answer.text
    assert anonymous.get("/static/console.css?v=0").headers["cache-control"] == "no-cache"
    assert (
        anonymous.get("/static/console.css", headers={"if-none-match": answer.headers["etag"]}).status_code
        == 304
    )


@pytest.mark.parametrize(
    "path",
    [
        "/static/../__init__.py",
        "/static/%2e%2e/build.py",
        "/static/nothing.css",
        "/static/",
        "/static/vendor",
        "/static/a%00b.css",
    ],
)
def test_nothing_but_the_consoles_files_is_served(path: str, anonymous: TestClient) -> None:
    assert anonymous.get(path).status_code == 404


def test_a_file_that_changed_on_disk_is_served_anew(tmp_path: Path) -> None:
    file = tmp_path / "a.css"
    file.write_text("a{}")
    assets = Assets(tmp_path)
    before = assets.address("a.css")
    file.write_text("b{}")
    os.utime(file, ns=(1, 1))
    assert assets.address("a.css") != before


def test_one_file_under_many_names_is_kept_once(tmp_path: Path) -> None:
    (tmp_path / "vendor").mkdir()
    (tmp_path / "a.css").write_text("body {}")
    assets = Assets(tmp_path)
    for number in range(50):
        name = "vendor/../" * number + "./" * number + "a.css"
        assert assets.address(name) == f"/static/{name}?v={hashlib.sha256(b'body {}').hexdigest()[:12]}"
    assert len(assets._kept) == 1
