"""Reads rule sets: ``nft -j list ruleset`` (libnftables-json(5)) and ``iptables-save``.

What is asked of them is small: does a packet that no rule was made for get in? The answer for a chain is its last
rule without a condition, or else its policy; of several input chains the strictest decides, since a packet has to
pass them all.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from agent import reasons
from agent.messages import UNREADABLE

_STRICTNESS = {"none": 0, "accept": 1, "reject": 2, "drop": 3}
#: Statements that neither let a packet through nor depend on what it is.
_NEUTRAL = frozenset({"counter", "log", "comment"})


class Firewall(Struct, frozen=True):
    """``input_policy`` is ``accept drop reject`` or ``none`` where no input chain exists; ``refuses``: some rule
    turns packets away; ``rule_count`` counts the rules of all filter chains."""

    input_policy: str
    refuses: bool
    rule_count: int


class UnreadableRulesError(Exception):
    """The text is not what the program should have written."""


def stricter(one: Firewall, other: Firewall) -> Firewall:
    """Both rule sets at once, as the kernel applies them."""
    policy = max(one.input_policy, other.input_policy, key=lambda p: _STRICTNESS.get(p, 0))
    return Firewall(policy, one.refuses or other.refuses, one.rule_count + other.rule_count)


def parse_nft(output: bytes) -> Firewall:
    """The input side of a whole nftables rule set.

    Raises:
        UnreadableRulesError: not libnftables' JSON.
    """
    try:
        items = msgspec.json.decode(output).get("nftables")
    except (*UNREADABLE, AttributeError) as error:
        raise UnreadableRulesError(reasons.NFT_NOT_JSON(detail=error)) from error
    if not isinstance(items, list):
        raise UnreadableRulesError(reasons.NFT_NO_LIST())
    chains: dict[tuple[str, str, str], dict[str, Any]] = {}
    rules: dict[tuple[str, str, str], list[list[Any]]] = {}
    for item in items:
        if not isinstance(item, dict):
            continue
        chain, rule = item.get("chain"), item.get("rule")
        if isinstance(chain, dict):
            chains[_place(chain, "name")] = chain
        elif isinstance(rule, dict) and isinstance(rule.get("expr"), list):
            rules.setdefault(_place(rule, "chain"), []).append(rule["expr"])
    inputs = [
        key for key, chain in chains.items() if chain.get("type") == "filter" and chain.get("hook") == "input"
    ]
    policy = "none"
    refuses = False
    for key in inputs:
        own = _policy(str(chains[key].get("policy", "accept")), rules.get(key, []))
        policy = max(policy, own, key=lambda p: _STRICTNESS.get(p, 0))
        refuses = refuses or own != "accept" or _refuses(key, rules, set())
    return Firewall(input_policy=policy, refuses=refuses, rule_count=sum(len(r) for r in rules.values()))


def _place(item: dict[str, Any], key: str) -> tuple[str, str, str]:
    return str(item.get("family")), str(item.get("table")), str(item.get(key))


def _policy(policy: str, rules: list[list[Any]]) -> str:
    for statements in rules:
        verdict = [s for s in statements if isinstance(s, dict) and not _NEUTRAL.issuperset(s)]
        if len(verdict) == 1 and (ends := {"drop", "reject", "accept"} & verdict[0].keys()):
            return str(next(iter(ends)))
    return policy if policy in _STRICTNESS else "accept"


def _refuses(key: tuple[str, str, str], rules: dict[Any, list[list[Any]]], visited: set[Any]) -> bool:
    waiting = [key]
    while waiting:
        place = waiting.pop()
        if place in visited:
            continue
        visited.add(place)
        for statements in rules.get(place, []):
            for statement in statements:
                if not isinstance(statement, dict):
                    continue
                if "drop" in statement or "reject" in statement:
                    return True
                for jump in ("jump", "goto"):
                    target = statement.get(jump)
                    if isinstance(target, dict):
                        waiting.append((place[0], place[1], str(target.get("target"))))
    return False


def parse_iptables_save(text: str) -> Firewall:
    """The table ``filter`` of iptables-save: ``:CHAIN POLICY [0:0]`` and ``-A CHAIN … -j TARGET``."""
    table, policy, refuses, count = "", "none", False, 0
    decided = False
    refusing: set[str] = set()
    jumps: dict[str, set[str]] = {}
    for line in text.splitlines():
        words = line.split()
        if not words:
            continue
        if words[0].startswith("*"):
            table = words[0][1:]
        elif table != "filter":
            continue
        elif words[0] == ":INPUT" and len(words) > 1:
            policy = words[1].lower() if words[1] in ("ACCEPT", "DROP") else policy
        elif words[0] == "-A" and len(words) > 1:
            count += 1
            target = _target(words)
            if target in ("DROP", "REJECT"):
                refusing.add(words[1])
            elif target:
                jumps.setdefault(words[1], set()).add(target)
            bare = len(words) > 3 and words[2] == "-j"
            if words[1] == "INPUT" and not decided and bare and target in ("DROP", "REJECT", "ACCEPT"):
                policy, decided = target.lower(), True
    reached, waiting = set[str](), ["INPUT"]
    while waiting:
        chain = waiting.pop()
        if chain not in reached:
            reached.add(chain)
            waiting += jumps.get(chain, ())
    refuses = policy in ("drop", "reject") or bool(reached & refusing)
    return Firewall(input_policy=policy, refuses=refuses and policy != "none", rule_count=count)


def _target(words: list[str]) -> str:
    for option in ("-j", "-g"):
        if option in words and words.index(option) + 1 < len(words):
            return words[words.index(option) + 1]
    return ""
