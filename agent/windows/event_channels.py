"""Which of Windows' events the agent reads: channels, and of each what is worth sending. Data, and nothing else.

Everything of a channel is taken but what is left out here, because it comes by the thousand and says little; which
Sigma rules that costs is in ``docs/agent-windows.md``. Whether an event is written at all is Windows' audit policy's
affair.
"""

from __future__ import annotations

from typing import Final
from xml.sax.saxutils import escape, quoteattr

from msgspec import Struct


class Channel(Struct, frozen=True):
    """``take`` and ``leave`` are conditions of the event log's XPath; ``leave`` wins."""

    name: str
    take: tuple[str, ...] = ("*",)
    leave: tuple[str, ...] = ()


def _numbers(*numbers: int) -> str:
    return f"*[System[{' or '.join(f'EventID={number}' for number in numbers)}]]"


CHANNELS: Final = (
    Channel(
        "Security",
        leave=(
            # Logoffs; handles; rights in use; tokens; keys; what Windows' filter lets through; shares' single files.
            _numbers(
                4634, 4656, 4658, 4660, 4673, 4674, 4690, 4703, 5058, 5059, 5061, 5145, 5152, 5154, 5156, 5158
            ),
            _numbers(4798, 4985, 5379, 5447),
            # Services starting, and the special rights of the system itself.
            "*[System[EventID=4624] and EventData[Data[@Name='LogonType']='5']]",
            "*[System[EventID=4672] and EventData[Data[@Name='SubjectUserSid']='S-1-5-18']]",
        ),
    ),
    Channel("System", leave=(_numbers(10016, 10010, 1014, 19, 43, 44),)),
    Channel("Microsoft-Windows-Sysmon/Operational"),
    Channel("Microsoft-Windows-PowerShell/Operational", leave=(_numbers(40961, 40962, 53504),)),
    # Starts of engines and pipelines; providers start eight at a time.
    Channel("Windows PowerShell", take=(_numbers(400, 800),)),
    Channel("Microsoft-Windows-Windows Defender/Operational", leave=(_numbers(1150, 1151),)),
    # Made, changed, removed, and started by hand; not every run.
    Channel("Microsoft-Windows-TaskScheduler/Operational", take=(_numbers(106, 129, 140, 141, 142),)),
    Channel("Microsoft-Windows-WMI-Activity/Operational", take=(_numbers(5860, 5861),)),
    Channel("Microsoft-Windows-Windows Firewall With Advanced Security/Firewall"),
    Channel(
        "Microsoft-Windows-TerminalServices-LocalSessionManager/Operational", take=(_numbers(21, 24, 25, 40),)
    ),
    Channel("Microsoft-Windows-Bits-Client/Operational", take=(_numbers(3, 5, 59, 16403),)),
)


def query(channel: Channel) -> str:
    """The structured query for one channel, as ``EvtSubscribe`` wants it."""
    path = quoteattr(channel.name)
    parts = [f"<Select Path={path}>{escape(each)}</Select>" for each in channel.take]
    parts += [f"<Suppress Path={path}>{escape(each)}</Suppress>" for each in channel.leave]
    return f'<QueryList><Query Id="0" Path={path}>{"".join(parts)}</Query></QueryList>'
