"""What the agent sends of Windows' events fires SigmaHQ's rules as the events themselves do."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.windows.event_xml import parse_event
from rules.catalogue import load_catalogue
from rules.engine.scan import scan
from rules.regression import regression_cases
from tests.rules.helpers import SHARED

SIGMAHQ = SHARED / "sigmahq"
FOLDERS = [SIGMAHQ / name for name in ("rules", "rules-emerging-threats", "rules-threat-hunting")]


def as_sent(evtx_file: Path, folder: Path) -> Path:
    """A file of the events of ``evtx_file`` as the agent sends them."""
    import evtx

    lines = []
    for record in evtx.PyEvtxParser(str(evtx_file)).records():
        assert record is not None
        event = parse_event(record["data"])
        time = datetime.fromtimestamp(event.time, UTC).isoformat()
        lines.append(json.dumps({**event.fields, "@timestamp": time}))
    made = folder / f"{evtx_file.stem}.jsonl"
    made.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return made


@pytest.mark.skipif(not SIGMAHQ.is_dir(), reason="the SigmaHQ rules are not on this machine")
def test_every_case_of_sigmahqs_fires_on_what_the_agent_sends(tmp_path: Path) -> None:
    cases = [each for each in regression_cases(SIGMAHQ / "regression") if each.events.suffix == ".evtx"]
    rules = load_catalogue(FOLDERS)
    paths = dict.fromkeys(Path(rules[case.rule].path) for case in cases)
    files = [as_sent(case.events, tmp_path) for case in cases]
    matched: Counter[tuple[str, str]] = Counter()
    scan(list(paths), files, lambda match: matched.update([(match.file, match.rule)]))
    silent = [
        rules[case.rule].title["en"]
        for case, file in zip(cases, files, strict=True)
        if matched[file.name, case.rule] < case.least
    ]
    assert len(cases) > 100
    assert silent == []
