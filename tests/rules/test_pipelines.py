"""Pipelines as data: the form is strict, the shipped ones hold what SigmaHQ's mapping and rules say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rules.engine import RuleError
from rules.logsources import find_pipeline, load_pipelines, shipped
from rules.logsources.pipelines import FOLDER, parse_pipeline
from tests.rules.helpers import SHARED

if TYPE_CHECKING:
    from pathlib import Path

    from rules.logsources import Pipeline

HEAD = "name: own\ndescription: {en: Ours, vi: Của ta}\n"
THOR = SHARED / "sigmahq" / "logsource-mapping-thor.yml"


def broken(text: str) -> RuleError:
    with pytest.raises(RuleError) as caught:
        parse_pipeline(text, "own.yml")
    assert caught.value.path == "own.yml"
    return caught.value


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("name: own\nproduct: x\n", 1, "the key 'description' is missing"),
        (HEAD + "servces: {a: {}}", 3, "unknown key 'servces'; did you mean 'services'?"),
        (HEAD + "services: {a: {}}\nservices: {b: {}}", 4, "the key 'services' is there twice"),
        (HEAD + "product: x", 1, "names services or categories"),
        (HEAD + "services:\n  a:\n    - {x: []}", 5, "at least one"),
        (HEAD + "services:\n  a: []", 4, "say when"),
        (HEAD + "services:\n  a: {x: {absent: true}}", 4, "unknown key 'absent'; did you mean 'present'?"),
        (HEAD + "services:\n  a: {x: {present: maybe}}", 4, "true or false"),
        (HEAD + "services:\n  a: {x: {present: true, not: y}}", 4, "'present' or 'not'"),
        (HEAD + "services: {a: {}}\ncategories:\n  c:\n    - {service: b}", 6, "'b' is none of a"),
        (HEAD + "categories:\n  c:\n    - {fields: {Image: [a, b]}}", 5, "text is expected"),
        (HEAD + "categories: {c: {}}\nform: wndows", 4, "did you mean 'windows'?"),
        (HEAD + "categories: {c: {}}\napplies: [{}]", 4, "names a product"),
        (HEAD + "categories: {c: {}}\nprepare:\n  - {lift: a, set: b}", 5, "exactly one of steps, lift, set"),
        (HEAD + "categories: {c: {}}\nprepare:\n  - {set: b}", 5, "takes exactly one of to, from"),
        (
            HEAD + "categories: {c: {}}\nprepare:\n  - {set: b, to: c, hex: true}",
            5,
            "'hex' belongs to 'join'",
        ),
        (HEAD + "categories: {c: {}}\nprepare:\n  - {lift: b, pattern: c}", 5, "does not belong to 'lift'"),
        (HEAD + "categories: {c: {}}\nprepare:\n  - {read: b, pattern: '('}", 5, "no RE2 expression"),
        (HEAD + "categories: {c: {}}\nprepare:\n  - {read: b, pattern: 'x'}", 5, "names no group"),
        (HEAD + "categories: {c: {}}\nprepare:\n  - {spread: b}", 5, "the key 'as' is missing"),
        (HEAD + "categories: {c: {}}\nprepare:\n  - {pairs: b, form: qoted}", 5, "did you mean 'quoted'?"),
        (HEAD + "categories: {c: {}}\nprepare:\n  - {columns: b}", 5, "the key 'names' is missing"),
        (HEAD + "categories: {c: {}}\nprepare:\n  - {tell: b, as: c, by: {x: '('}}", 5, "no RE2 expression"),
        (
            HEAD + "categories: {c: {}}\nprepare:\n  - {tell: b, as: c, by: {x: 'y(?P<z>a)?'}}",
            5,
            "a named group has no use here",
        ),
        (HEAD + "categories: {c: {}}\nprepare:\n  - {merge: b, by: c}", 5, "does not belong to 'merge'"),
        (
            HEAD + "categories: {c: {}}\nprepare:\n  - {steps: [{steps: [{steps: [{steps: [{lift: a}]}]}]}]}",
            5,
            "steps within",
        ),
        (HEAD + "like: nothing", 3, "'nothing' is none of"),
        (HEAD + "like: ecs-windows", 3, "is itself like another"),
        ("name: own\ndescription: Ours\nservices: {a: {}}", 2, "a mapping is expected"),
        ("name: own\ndescription: {en: Ours}\nservices: {a: {}}", 2, "the key 'vi' is missing"),
        ("- a", 1, "a mapping is expected"),
        ("a: ]", 1, "not YAML"),
        ("", 0, "empty"),
    ],
)
def test_what_the_form_does_not_know_is_named_with_its_line(text: str, line: int, reason: str) -> None:
    error = broken(text)
    assert reason in error.reason
    assert error.line == line


def test_the_place_of_an_error_is_named_from_the_top() -> None:
    error = broken(HEAD + "categories:\n  dns:\n    - {where: {a: 1}, field: {}}")
    assert error.reason.startswith("categories.dns[0]" if "[0]" in error.reason else "categories.dns")
    assert "did you mean 'fields'" in error.reason


def test_a_pipeline_is_found_by_name_or_file_and_a_wrong_name_says_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "own.yml"
    path.write_text(HEAD + "services: {a: {}}", encoding="utf-8")
    names = [each.name for each in load_pipelines(["windows", path])]
    assert names == ["windows", "own"]
    assert [each.name for each in load_pipelines([tmp_path])] == ["own"]
    with pytest.raises(RuleError, match="did you mean 'windows'"):
        find_pipeline("window")
    with pytest.raises(RuleError, match="'windows' is taken"):
        load_pipelines(["windows", "windows"])
    with pytest.raises(RuleError, match="cannot be read"):
        load_pipelines([tmp_path / "none.yml"])


def test_every_shipped_file_is_named_like_its_pipeline_and_described_in_both_languages() -> None:
    assert {each.name for each in shipped()} == {path.stem for path in FOLDER.glob("*.yml")}
    for each in shipped():
        assert each.description["vi"] != each.description["en"]


def test_like_takes_over_services_and_categories() -> None:
    windows, ecs = find_pipeline("windows"), find_pipeline("ecs-windows")
    assert ecs.services == windows.services
    assert ecs.categories == windows.categories


@pytest.mark.skipif(not THOR.exists(), reason="the shared test data are not on this machine")
def test_windows_is_sigmahqs_mapping_no_more_and_no_less() -> None:
    entries = yaml.safe_load(THOR.read_text(encoding="utf-8"))["logsources"].values()
    services: dict[str, set[str]] = {}
    categories: set[tuple[str, str, frozenset[str], tuple[Any, ...], tuple[Any, ...]]] = set()
    for entry in entries:
        channels = {
            source.removeprefix("WinEventLog:").lower()
            for source in entry.get("sources", ())
            if source.startswith("WinEventLog:")
        }
        if channels:
            services.setdefault(entry["service"], set()).update(channels)
        if "rewrite" in entry:
            conditions = dict(entry["conditions"])
            ids = conditions.pop("EventID")
            for each in ids if isinstance(ids, list) else [ids]:
                for where in _single(conditions):
                    renames = tuple(sorted(entry.get("fieldmappings", {}).items()))
                    service = entry["rewrite"]["service"]
                    categories.add((entry["category"], service, frozenset([str(each)]), where, renames))
    windows = find_pipeline("windows")
    assert _channels(windows) == services
    assert set(_ways(windows)) == categories


def _single(conditions: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [tuple((name, str(value).lower()) for name, value in conditions.items())]


def _channels(pipeline: Pipeline) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for service, alternatives in pipeline.services.items():
        for conditions in alternatives:
            (channel,) = conditions
            assert channel.field == "Channel"
            assert channel.values is not None
            found.setdefault(service, set()).update(channel.values)
    return found


def _ways(pipeline: Pipeline) -> list[tuple[str, str, frozenset[str], tuple[Any, ...], tuple[Any, ...]]]:
    found = []
    for category, ways in pipeline.categories.items():
        for way in ways:
            ids, *rest = sorted(way.where, key=lambda each: each.field != "EventID")
            for number in ids.values or ():
                choices: list[tuple[Any, ...]] = [()]
                for each in rest:
                    choices = [(*have, (each.field, text)) for have in choices for text in each.values or ()]
                found += [(category, way.service, frozenset([number]), one, way.renames) for one in choices]
    return found


@pytest.mark.skipif(not THOR.exists(), reason="the shared test data are not on this machine")
def test_every_linux_and_generic_log_source_of_sigmahq_is_reached_or_known_to_need_more() -> None:
    """What no shipped pipeline and no agent gives: applications and appliances of which nobody here has logs."""
    needed: set[tuple[str, str, str]] = set()
    for folder in ("rules", "rules-emerging-threats", "rules-threat-hunting"):
        for path in (SHARED / "sigmahq" / folder).rglob("*.yml"):
            text = path.read_text(encoding="utf-8")
            source = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["logsource"]
            product = source.get("product", "")
            if product in ("", "linux"):
                needed.add((product, source.get("category", ""), source.get("service", "")))
    given = {("linux", "", "")}
    for each in shipped():
        given |= {(each.product, category, "") for category in each.categories}
        given |= {(each.product, "", service) for service in each.services}
    assert needed - given == {("", "database", "")}


def _fields(detection: Any) -> set[str]:
    found: set[str] = set()
    waiting = [detection]
    while waiting:
        each = waiting.pop()
        if isinstance(each, list):
            waiting.extend(each)
        elif isinstance(each, dict):
            found |= {name.split("|")[0] for name in each}
    return found - {""}


@pytest.mark.skipif(not THOR.exists(), reason="the shared test data are not on this machine")
@pytest.mark.parametrize(
    ("name", "product", "category", "marker", "without"),
    [
        ("firewall", "", "firewall", "destination.ip", {"blocked"}),
        ("firewall", "", "firewall", "dstip", {"action", "blocked"}),
        ("proxy", "", "proxy", "url.original", {"cs-cookie"}),
        ("webserver", "", "webserver", "url.original", {"cs-content-type"}),
        ("webserver", "", "webserver", "request_method", {"cs-content-type"}),
        ("dns", "", "dns", "dns.question.name", set()),
        ("ecs-linux", "linux", "process_creation", "event.category", {"LogonId"}),
        ("ecs-linux", "linux", "file_event", "event.category", set()),
        ("ecs-linux", "linux", "network_connection", "event.category", {"Initiated"}),
        ("ecs-macos", "macos", "process_creation", "event.category", set()),
        ("ecs-macos", "macos", "file_event", "event.category", set()),
    ],
)
def test_every_field_that_sigmahqs_rules_ask_of_a_category_has_a_name_in_the_other_shape(
    name: str, product: str, category: str, marker: str, without: set[str]
) -> None:
    """``without``: what the shape has no field for, has under Sigma's own name, or a step of the pipeline sets."""
    asked: set[str] = set()
    for folder in ("rules", "rules-emerging-threats", "rules-threat-hunting"):
        for path in (SHARED / "sigmahq" / folder).rglob("*.yml"):
            text = path.read_text(encoding="utf-8")
            if f"category: {category}" not in text:
                continue
            rule = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
            if (rule["logsource"].get("product", ""), rule["logsource"].get("category")) == (
                product,
                category,
            ):
                for key, detection in rule["detection"].items():
                    asked |= _fields(detection) if key != "condition" else set()
    (way,) = [
        each for each in find_pipeline(name).categories[category]
        if any(condition.field == marker and condition.present for condition in each.where)
    ]  # fmt: skip
    assert asked
    assert asked - {field for field, _ in way.renames} == without


@given(
    st.dictionaries(
        st.sampled_from(
            ["name", "description", "product", "needs", "where", "prepare", "services", "categories", "x"]
        ),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("a"),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["en", "vi", "a", "where", "fields", "set", "to", "present", "lift"]),
                    inner,
                    max_size=3,
                )
            ),
            max_leaves=12,
        ),
    )
)
def test_no_document_raises_anything_but_its_refusal(document: dict[str, Any]) -> None:
    text = yaml.safe_dump(
        {"name": "own", "description": {"en": "a", "vi": "b"}, **document}, allow_unicode=True
    )
    try:
        parse_pipeline(text)
    except RuleError as error:
        assert error.reason  # noqa: PT017 - either outcome is fine, other exceptions are not


@given(st.text(max_size=60))
def test_no_text_raises_anything_but_its_refusal(text: str) -> None:
    try:
        parse_pipeline(text)
    except RuleError as error:
        assert error.reason  # noqa: PT017 - as above
