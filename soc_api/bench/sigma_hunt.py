"""How long a hunt over ten million stored events takes."""

from __future__ import annotations

import json
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from collector.store.engine import Engine
from collector.store.place import Embedded
from collector.store.schema import INSERT_SETTINGS
from soc_api.bench.registry import Figure, benchmark
from soc_api.hunting.models import Question
from soc_api.hunting.service import Hunt
from soc_api.hunting.subject import Subjects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

EVENTS: Final = 10_000_000
_DAYS: Final = 10
_FIRST: Final = datetime(2026, 11, 1, tzinfo=UTC)
#: One event in so many is what the rules look for.
_RARE: Final = 200_000
_ROUNDS: Final = 3

# Of a hundred events: 35 process starts, 25 files, 25 Windows sign-ins, 15 SSH sign-ins. Names of users, machines and
# files vary, identifiers and digests are random; as JSON in this form an event is 480 bytes on average.
_WORDS: Final = """
    cityHash64(number + {first:UInt64}) AS h, lower(hex(cityHash64(h, 1))) AS hex1,
    lower(hex(cityHash64(h, 2))) AS hex2, lower(hex(sipHash128(h))) AS id,
    concat('ep-', toString(h % 3000)) AS ep, toString(h % 5000) AS person,
    (number + {first:UInt64}) % {rare:UInt64} = 77777 AS needle,
    ['svchost.exe', 'cmd.exe', 'powershell.exe', 'conhost.exe', 'chrome.exe', 'msedge.exe', 'winword.exe', 'excel.exe',
     'explorer.exe', 'rundll32.exe', 'taskhostw.exe', 'unikey.exe'][1 + intDiv(h, 7) % 12] AS program,
    ['netsvcs', 'update', 'baocao', 'congvan', 'service', 'worker', 'profile', 'print', 'sync', 'backup', 'office',
     'tailieu'][1 + intDiv(h, 97) % 12] AS word,
    ['Common', 'Google', 'Microsoft', 'Bkav', 'Kaspersky', 'Zalo', 'Viettel', 'VNPT'][1 + intDiv(h, 1201) % 8] AS maker,
    ['docx', 'exe', 'dll', 'tmp', 'pdf', 'log'][1 + intDiv(h, 31) % 6] AS ending,
    if(needle, 10, h % 100) AS kind
"""
_CONTEXT: Final = (
    """',"host":{"id":"' || ep || '","name":"pc-' || toString(h % 3000) || '"},"agency":{"code":"so-' || """
    """toString(h % 40) || '"},"simulated":false,"event":{"id":"' || id || '"}}'"""
)
_PROCESS: Final = (
    r"""'{"Image":"C:\\\\Windows\\\\System32\\\\' || program || '","CommandLine":"' || program || ' -k ' || word ||"""
    r""" if(needle, ' --Dump-LSASS ', ' --id ') || hex1 || ' C:\\\\Users\\\\user' || person || '\\\\' || maker ||"""
    r""" '\\\\' || word || '.' || ending || '","ParentImage":"C:\\\\Program Files\\\\' || maker || '\\\\' || word ||"""
    r""" '.exe","ParentCommandLine":"\\"C:\\\\Program Files\\\\' || maker || '\\\\' || word || '.exe\\" /' ||"""
    r""" maker || ' ' || hex2 || '","OriginalFileName":"' || program || '","User":"' || if(needle, 'SO\\\\khach',"""
    r""" 'SO\\\\user' || person) || '","ProcessId":' || toString(h % 30000) || ',"Hashes":"MD5=' || hex1 || hex2 ||"""
    r""" '","EventID":1,"Channel":"Microsoft-Windows-Sysmon/Operational","IntegrityLevel":"Medium"'"""
)
_FILE: Final = (
    r"""'{"EventID":11,"Channel":"Microsoft-Windows-Sysmon/Operational","Image":"C:\\\\Windows\\\\' || program"""
    r""" || '","TargetFilename":"C:\\\\Users\\\\user' || person || '\\\\AppData\\\\Local\\\\' || word || '\\\\'"""
    r""" || hex1 || '.' || ending || '","CreationUtcTime":"2026-11-01 08:00:00.' || toString(h % 1000) ||"""
    r""" '","ProcessGuid":"{' || hex2 || '}","User":"SO\\\\user' || person || '"'"""
)
_LOGON: Final = (
    """'{"EventID":' || if(h % 50 = 0, '4625', '4624') || ',"Channel":"Security","TargetUserName":"user' || person ||"""
    """ '","TargetDomainName":"SO","LogonType":' || toString(h % 11) || ',"IpAddress":"10.' || toString(h % 200) ||"""
    """ '.3.' || toString(h % 250) || '","SubjectUserName":"SYSTEM","SubjectLogonId":"0x' || hex1 ||"""
    """ '","WorkstationName":"pc-' || toString(h % 3000) || '","LogonProcessName":"User32"'"""
)
_SSH: Final = (
    """'{"Message":"Failed password for invalid user ' || word || ' from 10.1.' || toString(h % 200) || '.7 port ' ||"""
    """ toString(h % 65000) || ' ssh2","Process":"sshd","program":"sshd","Pid":' || toString(h % 30000) ||"""
    """ ',"User":"' || word || '","SourceIP":"10.1.' || toString(h % 200) || '.7","Method":"password"'"""
)
_INSERT: Final = f"""
INSERT INTO events (event_id, time, received_at, log_offset, endpoint_id, agency_id, product, category, service,
                    simulated, rules, body)
SETTINGS {INSERT_SETTINGS}
WITH {_WORDS},
     addMicroseconds(fromUnixTimestamp64Micro({{start:Int64}}, 'UTC'), toInt64(number * {{step:Float64}})) AS moment
SELECT id, moment, moment, {{first:UInt64}} + number + 1, ep, h % 40, if(kind < 85, 'windows', 'linux'),
       multiIf(kind < 35, 'process_creation', kind < 60, 'file_event', ''),
       multiIf(kind < 60, '', kind < 85, 'security', 'auth'), false, [],
       multiIf(kind < 35, {_PROCESS}, kind < 60, {_FILE}, kind < 85, {_LOGON}, {_SSH}) || {_CONTEXT}
FROM numbers({{rows:UInt64}})
"""  # noqa: S608 - constants

_RULE: Final = """
title: {title}
id: {id}
logsource: {{product: windows, category: process_creation}}
detection:
  selection: {{{selection}}}
  condition: selection
"""
RULES: Final = {
    "substring": _RULE.format(
        title="Substring",
        id="7d2c8f0e-61b4-4a53-9c86-0f5b0e5f2a01",
        selection="CommandLine|contains: '--dump-lsass'",
    ),
    "exact": _RULE.format(
        title="Exact fields",
        id="7d2c8f0e-61b4-4a53-9c86-0f5b0e5f2a02",
        selection="User: 'so\\khach', IntegrityLevel: medium",
    ),
    "unusual field": _RULE.format(
        title="A field without a column",
        id="7d2c8f0e-61b4-4a53-9c86-0f5b0e5f2a03",
        selection="Hashes|contains: 'md5=00000'",
    ),
}


class Trial:
    """A store of so many made events. ``query`` is what hunts ask."""

    def __init__(self, folder: Path, events: int = EVENTS) -> None:
        self.engine = Engine(Embedded(folder / "events", folder / "spill"))
        self.events = events

    def fill(self, tell: Callable[[str], None]) -> None:
        """Made by the store itself; a day at a time."""
        rows = self.events // _DAYS
        for day in range(_DAYS):
            start = _FIRST + timedelta(days=day)
            values = {
                "first": day * rows,
                "rows": rows,
                "rare": min(_RARE, self.events),
                "start": int(start.timestamp() * 1e6),
                "step": 86_400e6 / rows,
            }
            self.engine._keeper.command(_INSERT, parameters=values)  # noqa: SLF001 - nobody else makes events in SQL
            tell(f"day {day + 1} of {_DAYS} stored")

    def query(
        self, sql: str, parameters: Mapping[str, object] | None = None, *, since: datetime | None = None
    ) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.engine.query(sql, parameters or {}, since))
        return found

    def question(self) -> Question:
        return Question(_FIRST, _FIRST + timedelta(days=_DAYS), limit=100, seconds=300)


@benchmark(
    "sigma.hunt", "one rule over ten million stored events: a substring, exact fields, an unusual field"
)
def hunt(tell: Callable[[str], None]) -> Iterable[Figure]:
    """Makes the events (a minute or two, 2 GB of disk for a while), then hunts as the API does: hits a day and the
    newest hits, the best of three. Fifty events are what the first two rules look for; both must find exactly these.
    """
    with tempfile.TemporaryDirectory(prefix="vonggac-bench-") as name:
        trial = Trial(Path(name))
        try:
            began = time.monotonic()
            trial.fill(tell)
            built = time.monotonic() - began
            size = trial.query(
                "SELECT sum(bytes_on_disk) AS bytes FROM system.parts WHERE active AND table = 'events'"
            )
            for kind, goal in (("substring", 5.0), ("exact", 1.0), ("unusual field", 5.0)):
                subject = Subjects().by_text(RULES[kind])
                seconds = []
                for number in range(_ROUNDS):
                    _forget(trial)
                    answer = Hunt(trial, subject, trial.question()).run()
                    seconds.append(answer.seconds)
                    tell(f"{kind}, {number + 1} of {_ROUNDS}: {answer.hits} hits in {answer.seconds:.2f} s")
                if kind != "unusual field" and (answer.hits != EVENTS // _RARE or not answer.complete):
                    raise RuntimeError(f"{answer.hits} hits; {EVENTS // _RARE} were put there")
                best = min(seconds)
                yield Figure(round(best, 2), f"s, {kind}", f"at most {goal:g}", best <= goal)
            yield Figure(round(built, 1), "s to make the events", "none", None)
            yield Figure(round(int(size[0]["bytes"]) / EVENTS, 1), "bytes an event on disk", "none", None)
        finally:
            trial.engine.close()


def _forget(trial: Trial) -> None:
    """What the store remembers of a condition it was asked before would make the next round too good."""
    trial.engine._keeper.command("SYSTEM DROP QUERY CONDITION CACHE")  # noqa: SLF001 - nobody else needs it
