"""A picture of a page that changed, taken by Chromium where that is installed, and kept on the probe.

The page is hostile: no scripts run, nothing is loaded but from the service's own hosts, and where the agent runs as
root the browser runs as ``nobody``. It is told the addresses of these hosts, so that no answer of a name server leads
it where the check itself may not go.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from agent.probe.services.connecting import addresses_of
from agent.probe.services.result import CheckError

if TYPE_CHECKING:
    from agent.probe.services.settings import Service, Services

_BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")
_SECONDS: Final = 30.0
_MAX_BYTES: Final = 8 << 20
#: The browser's own setting: no page may run scripts.
_NO_SCRIPTS: Final = {"profile": {"default_content_setting_values": {"javascript": 2}}}
#: Pictures kept of each service.
_KEPT: Final = 10


def browser() -> str:
    """The path of a browser that can take pictures; empty where there is none."""
    return next((found for each in _BROWSERS if (found := shutil.which(each))), "")


def take_picture(service: Service, settings: Services, folder: Path, name: str) -> dict[str, Any]:
    """``file`` (in ``folder``), ``sha256``, ``bytes``; nothing where no picture came about."""
    program, rules = browser(), resolver_rules(service, settings)
    if not program or not rules:
        return {}
    with tempfile.TemporaryDirectory(prefix="vonggac-picture-") as home:
        target = Path(home) / "page.png"
        profile = Path(home) / "profile"
        (profile / "Default").mkdir(parents=True)
        (profile / "Default" / "Preferences").write_text(json.dumps(_NO_SCRIPTS))
        as_nobody: dict[str, Any] = {}
        if os.geteuid() == 0:
            for path in (Path(home), profile, *profile.rglob("*")):
                shutil.chown(path, "nobody", "nogroup")
            as_nobody = {"user": "nobody", "group": "nogroup", "extra_groups": []}
        command = [
            program,
            "--headless",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--no-first-run",
            "--window-size=1280,1600",
            f"--user-data-dir={profile}",
            f"--host-resolver-rules={rules}",
            f"--screenshot={target}",
            service.url,
        ]
        try:
            subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_SECONDS,
                check=False,
                cwd=home,
                env={"HOME": home, "PATH": os.environ.get("PATH", "")},
                **as_nobody,
            )
            if target.is_symlink() or not 0 < target.stat().st_size <= _MAX_BYTES:
                return {}
            picture = target.read_bytes()
        except (OSError, subprocess.SubprocessError):
            return {}
    kept = folder / "pictures"
    kept.mkdir(mode=0o700, exist_ok=True)
    path = kept / f"{service.name}-{name}.png"
    path.write_bytes(picture)
    forget_old(kept, service.name)
    return {"file": path.name, "sha256": sha256(picture).hexdigest(), "bytes": len(picture)}


def resolver_rules(service: Service, settings: Services) -> str:
    """Chromium's ``--host-resolver-rules``: each of the service's hosts at an address that may be asked, nothing else.
    Empty where its own host has none."""
    own = urlsplit(service.url).hostname or ""
    rules = []
    for host in dict.fromkeys([own, *(each.lower() for each in service.also_hosts)]):
        try:
            address = addresses_of(host, 443, settings)[0]
        except CheckError:
            if host == own:
                return ""
            continue
        rules.append(f"MAP {host} [{address}]" if ":" in address else f"MAP {host} {address}")
    return ", ".join([*rules, "MAP * ~NOTFOUND"])


def forget_old(folder: Path, name: str) -> None:
    """Of this service, keep the last ten."""
    pictures = [path for path in folder.glob(f"{name}-*.png") if path.stem.removeprefix(f"{name}-").isdigit()]
    for old in sorted(pictures)[:-_KEPT]:
        old.unlink(missing_ok=True)
