"""What an agent says of a Linux machine: accounts, ports, services, files. For the demonstration province."""

from __future__ import annotations

from typing import Any


def linux_documents(number: int) -> list[tuple[str, str, dict[str, Any]]]:
    """``(kind, item, body)`` of machine ``number``."""
    users: list[dict[str, Any]] = [
        {
            "name": name,
            "uid": uid,
            "gid": uid,
            "home": f"/home/{name}",
            "shell": shell,
            "groups": groups,
            "administrator": "sudo" in groups or uid == 0,
            "sign_in": not shell.endswith("nologin"),
            "password": "set",
            "password_changed": "2026-03-01",
            "expires": None,
        }
        for name, uid, shell, groups in (
            ("root", 0, "/bin/bash", ["root"]),
            (f"canbo{number}", 1000, "/bin/bash", ["sudo", "users"]),
            ("daemon", 1, "/usr/sbin/nologin", ["daemon"]),
        )
    ]
    ssh = {
        "name": "tcp/22",
        "protocol": "tcp",
        "port": 22,
        "addresses": ["0.0.0.0", "::"],
        "scope": "network",
    }
    unit = {"name": "ssh.service", "wanted_by": ["multi-user.target"], "command": "/usr/sbin/sshd -D"}
    return [
        ("accounts", "", {"state": "ok", "reason": "", "count": 3, "users": users, "groups": []}),
        (
            "listening",
            "",
            {
                "state": "ok",
                "reason": "",
                "count": 1,
                "ports": [{**ssh, "process": "sshd", "path": "/usr/sbin/sshd", "user": "root"}],
            },
        ),
        ("services", "", {"state": "ok", "reason": "", "count": 1, "units": [unit]}),
        (
            "file_integrity",
            "",
            {"state": "on", "reason": "", "folders": 24, "files": 96 + number, "left_out": 0},
        ),
    ]
