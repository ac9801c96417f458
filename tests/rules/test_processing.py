"""pySigma pipelines applied as they are, and what is refused because it means nothing here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sigma.pipelines
from hypothesis import given
from hypothesis import strategies as st
from sigma.correlations import SigmaCorrelationRule
from sigma.rule import SigmaRule

from rules.engine import Engine, RuleError
from rules.engine.processing import apply, load_pipelines, parse, placeholder_pipeline
from tests.rules.helpers import event, rule

if TYPE_CHECKING:
    from pathlib import Path

    from sigma.processing.pipeline import ProcessingPipeline

MAPPING = """
name: own names
transformations:
  - id: names
    type: field_name_mapping
    mapping: {Image: process.executable, CommandLine: [process.command_line, process.args]}
"""
CORRELATION = """
title: Many
id: 00000000-0000-4000-8000-000000000900
correlation:
  type: value_count
  rules: [00000000-0000-4000-8000-000000000001]
  group-by: [User]
  timespan: 5m
  condition: {gte: 2, field: Image}
"""


def fires(pipeline: str, detection: str, fields: dict[str, Any]) -> bool:
    engine = Engine([rule(detection)], pipelines=[parse(pipeline)])
    assert engine.unsupported == []
    return bool(engine.process(event(fields)))


def refused(pipeline: str, detection: str) -> str:
    engine = Engine([rule(detection)], pipelines=[parse(pipeline)])
    assert engine.rules_loaded == 0
    return engine.unsupported[0].reason


def transformed(pipeline: str, text: str) -> SigmaRule:
    return apply([parse(pipeline)], SigmaRule.from_yaml(text))


def test_a_mapped_field_replaces_the_rules_own() -> None:
    detection = "s: {Image|endswith: /sh}\ncondition: s"
    assert fires(MAPPING, detection, {"process": {"executable": "/bin/sh"}})
    assert not fires(MAPPING, detection, {"Image": "/bin/sh"})


def test_of_several_mapped_fields_one_is_enough() -> None:
    detection = "s: {CommandLine|contains: x}\ncondition: s"
    assert fires(MAPPING, detection, {"process.command_line": "axb"})
    assert fires(MAPPING, detection, {"process.args": ["a", "x"]})
    assert not fires(MAPPING, "s: {CommandLine|contains: x}\ncondition: not s", {"process.args": ["a", "x"]})


@pytest.mark.parametrize("item", ["CommandLine: null", "CommandLine|exists: false", "CommandLine|neq: x"])
def test_a_negation_over_several_fields_is_refused(item: str) -> None:
    reason = refused(MAPPING, f"s: {{'{item.split(':')[0]}': {item.split(': ')[1]}}}\ncondition: s")
    assert "several fields (process.command_line, process.args)" in reason
    assert "'own names'" in reason


def test_a_condition_is_added_to_the_rules() -> None:
    pipeline = "transformations:\n  - {type: add_condition, conditions: {EventID: 1}}"
    detection = "s: {a: x}\nt: {b: y}\ncondition: s or t"
    assert fires(pipeline, detection, {"b": "y", "EventID": 1})
    assert not fires(pipeline, detection, {"b": "y", "EventID": 2})


def test_a_changed_log_source_is_where_the_rule_is_offered() -> None:
    pipeline = """
transformations:
  - type: change_logsource
    product: windows
    service: sysmon
    rule_conditions: [{type: logsource, category: process_creation, product: windows}]
"""
    text = rule("s: {a: x}\ncondition: s", logsource="{product: windows, category: process_creation}")
    changed = transformed(pipeline, text).logsource
    assert (changed.product, changed.category, changed.service) == ("windows", None, "sysmon")
    other = transformed(pipeline, rule("s: {a: x}\ncondition: s", logsource="{product: linux}")).logsource
    assert other.product == "linux"


EXPAND = "s: {User|expand: '%admins%'}\ncondition: s"


def test_a_placeholder_gets_the_values_of_a_pipeline() -> None:
    pipeline = "vars: {admins: [lan, 'svc_*']}\ntransformations: [{type: value_placeholders}]"
    assert fires(pipeline, EXPAND, {"User": "LAN"})
    assert fires(pipeline, EXPAND, {"User": "svc_backup"})
    assert not fires(pipeline, EXPAND, {"User": "minh"})


def test_a_placeholder_gets_values_that_are_given_without_a_file() -> None:
    engine = Engine([rule(EXPAND)], pipelines=[placeholder_pipeline({"admins": ["lan"]})])
    assert engine.unsupported == []
    assert engine.process(event({"User": "lan"}))


def test_a_placeholder_without_values_leaves_the_rule_refused() -> None:
    assert "admins" in refused("transformations: [{type: value_placeholders}]", EXPAND)
    engine = Engine([rule(EXPAND)], pipelines=[placeholder_pipeline({"others": ["lan"]})])
    assert "admins" in engine.unsupported[0].reason


def test_a_wildcard_stands_for_any_placeholder() -> None:
    assert fires("transformations: [{type: wildcard_placeholders}]", EXPAND, {"User": "anybody"})


def test_a_query_expression_is_no_value_here() -> None:
    pipeline = "transformations: [{type: query_expression_placeholders, expression: '{field} in {id}'}]"
    assert "text for another system's queries" in refused(pipeline, EXPAND)


def test_a_dropped_item_no_longer_asks_for_anything() -> None:
    pipeline = """
transformations:
  - type: drop_detection_item
    field_name_conditions: [{type: include_fields, fields: [b]}]
"""
    assert fires(pipeline, "s: {a: x, b: y}\ncondition: s", {"a": "x"})
    assert not fires(pipeline, "s: {a: x, b: y}\ncondition: s", {"b": "y"})


def test_a_rule_failure_refuses_the_rule_with_the_pipelines_words_and_no_other() -> None:
    pipeline = """
name: strict
transformations:
  - type: rule_failure
    message: Only process events are understood
    rule_conditions: [{type: logsource, category: network_connection}]
"""
    good, bad = "s: {a: x}\ncondition: s", "{category: network_connection}"
    engine = Engine([rule(good), rule(good, number=2, logsource=bad)], pipelines=[parse(pipeline)])
    assert engine.rules_loaded == 1
    assert "pipeline 'strict': Only process events are understood" in engine.unsupported[0].reason


def test_nested_items_are_looked_at_like_others() -> None:
    pipeline = """
transformations:
  - type: nest
    items:
      - {type: field_name_mapping, mapping: {a: [b, c]}}
"""
    assert fires(pipeline, "s: {a: x}\ncondition: s", {"c": "x"})
    assert "several fields" in refused(pipeline, "s: {a: null}\ncondition: s")


@pytest.mark.parametrize(
    ("pipeline", "reason"),
    [
        ("postprocessing: [{type: embed, prefix: x}]", "postprocessing"),
        ("finalizers: [{type: concat}]", "finalizers"),
        ("allowed_backends: [splunk]", "backends splunk"),
        ("transformations: [{type: regex}]", "regular expressions"),
        ("transformations: [{type: command_placeholders, cmd: id}]", "a command"),
        ("transformations: [{type: nest, items: [{type: regex}]}]", "regular expressions"),
        ("transformations: [{type: no_such}]", "Unknown transformation type 'no_such'"),
        ("transformation: []", "transformation"),
        ("[1, 2]", "no pySigma pipeline"),
        ("", "no pySigma pipeline"),
        ("a: [", "not YAML"),
    ],
)
def test_what_works_on_queries_or_is_broken_is_refused_with_the_file(
    pipeline: str, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "own.yml"
    path.write_text(pipeline, encoding="utf-8")
    with pytest.raises(RuleError, match=reason) as caught:
        load_pipelines([path])
    assert caught.value.path == str(path)


def correlation(pipeline: str, text: str = CORRELATION) -> SigmaCorrelationRule:
    return apply([parse(pipeline)], SigmaCorrelationRule.from_yaml(text))


def test_a_correlations_fields_are_mapped_as_well() -> None:
    changed = correlation(
        "transformations: [{type: field_name_mapping, mapping: {User: user.name, Image: exe}}]"
    )
    assert changed.group_by == ["user.name"]
    assert changed.condition is not None
    assert "exe" in str(changed.condition.fieldref)  # type: ignore[union-attr]


def test_a_correlations_field_cannot_become_several() -> None:
    with pytest.raises(RuleError, match="'User' to a, b"):
        correlation("transformations: [{type: field_name_mapping, mapping: {User: [a, b]}}]")


def test_a_mapping_that_hangs_on_a_correlations_rules_is_refused_only_where_it_would_map() -> None:
    pipeline = """
transformations:
  - type: field_name_mapping
    mapping: {%s: user.name}
    rule_conditions: [{type: logsource, product: linux}]
"""
    assert correlation(pipeline % "Other").group_by == ["User"]
    with pytest.raises(RuleError, match="'User' by what its rules are"):
        correlation(pipeline % "User")


def test_pipelines_run_by_priority_and_folders_stand_for_their_files(tmp_path: Path) -> None:
    (tmp_path / "b.yml").write_text("name: early\npriority: 1\ntransformations: []", encoding="utf-8")
    (tmp_path / "a.yml").write_text("priority: 5\ntransformations: []", encoding="utf-8")
    assert [each.name for each in load_pipelines([tmp_path])] == ["early", "a"]


def test_an_installed_packages_pipeline_is_found_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "vonggac_trial"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from sigma.processing.pipeline import ProcessingItem, ProcessingPipeline\n"
        "from sigma.processing.transformations import FieldMappingTransformation\n"
        "def trial() -> ProcessingPipeline:\n"
        "    return ProcessingPipeline(items=[ProcessingItem(FieldMappingTransformation({'a': 'b'}))])\n"
        "pipelines = {'trial': trial}\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(sigma.pipelines, "__path__", [*sigma.pipelines.__path__, str(tmp_path)])
    found: list[ProcessingPipeline] = load_pipelines(["trial"])
    assert found[0].name == "trial"
    engine = Engine([rule("s: {a: x}\ncondition: s")], pipelines=found)
    assert engine.process(event({"b": "x"}))
    with pytest.raises(RuleError, match="did you mean 'trial'"):
        load_pipelines(["trail"])


def test_a_pipeline_that_is_used_again_starts_anew() -> None:
    pipeline = parse(
        "transformations:\n"
        "  - {id: first, type: set_state, key: k, val: v, rule_conditions: [{type: logsource, category: one}]}\n"
        "  - {type: add_condition, conditions: {c: z}, rule_conditions: "
        "[{type: processing_state, key: k, val: v}]}\n"
    )
    detection = "s: {a: x}\ncondition: s"
    rules = [rule(detection, logsource="{category: one}"), rule(detection, number=2)]
    engine = Engine(rules, pipelines=[pipeline])
    assert engine.process(event({"a": "x"}))
    assert not engine.process(event({"a": "x"}, category="one"))
    assert engine.process(event({"a": "x", "c": "z"}, category="one"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(["type", "id", "mapping", "field", "conditions", "rule_conditions", "items", "x"]),
        st.sampled_from(["field_name_mapping", "add_condition", "nest", "value_placeholders"]) | JSON,
    )
)
def test_no_pipeline_raises_anything_but_its_refusal(item: dict[str, Any]) -> None:
    import yaml

    try:
        pipeline = parse(yaml.safe_dump({"transformations": [item]}, allow_unicode=True))
    except RuleError:
        return
    engine = Engine([rule("s: {a: x}\ncondition: s")], pipelines=[pipeline])
    assert engine.rules_loaded + len(engine.unsupported) == 1


FILTER = """
title: Root may
id: 00000000-0000-4000-8000-000000000901
logsource: {category: test}
filter:
  rules: [00000000-0000-4000-8000-000000000001]
  selection: {User: root}
  condition: not selection
"""


def test_a_filters_fields_are_mapped_like_its_rules() -> None:
    mapping = "transformations: [{type: field_name_mapping, mapping: {User: user.name, a: b}}]"
    engine = Engine([rule("s: {a: x}\ncondition: s"), FILTER], pipelines=[parse(mapping)])
    assert engine.unsupported == []
    assert engine.process(event({"b": "x", "user": {"name": "lan"}}))
    assert not engine.process(event({"b": "x", "user": {"name": "root"}}))


def test_what_was_kept_of_rules_without_a_pipeline_is_not_taken_for_them_with_one(tmp_path: Path) -> None:
    texts = [rule("s: {User: x}\ncondition: s")]
    mapping = "transformations: [{type: field_name_mapping, mapping: {User: user.name}}]"
    assert Engine(texts, cache=tmp_path).process(event({"User": "x"}))
    assert not Engine(texts, cache=tmp_path, pipelines=[parse(mapping)]).process(event({"User": "x"}))
    assert Engine(texts, cache=tmp_path).process(event({"User": "x"}))
