"""``vonggac-agent``: enrol, run, look. Exit status 0: done; 1: it failed, one line says why; 2: wrong usage.

Imports stand inside the commands, because the one that runs for months should not carry what the others need.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.collectors.registry import Collector
    from agent.runtime.words import Lang
    from agent.settings import Settings, StateDirectory


class _Failure(Exception):  # noqa: N818 - it carries the one line and the exit status
    def __init__(self, line: str, status: int = 1) -> None:
        super().__init__(line)
        self.status = status


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """The entry point. ``argv`` without the program's name; the process's own where it is ``None``."""
    arguments = _parser().parse_args(argv)
    try:
        status = int(arguments.command(arguments))
    except _Failure as failure:
        print(f"vonggac-agent: {failure}", file=sys.stderr)
        status = failure.status
    except KeyboardInterrupt:
        status = 1
    except BrokenPipeError:
        sys.stderr.close()
        status = 1
    sys.exit(status)


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--config", type=Path, metavar="FILE", help="settings (/etc/vonggac-agent/agent.toml)"
    )
    common.add_argument("--state", type=Path, metavar="DIR", help="state directory (/var/lib/vonggac-agent)")
    as_json = argparse.ArgumentParser(add_help=False)
    as_json.add_argument(
        "--json", action="store_true", help="for programs: one JSON document on standard output"
    )
    parser = argparse.ArgumentParser(
        prog="vonggac-agent",
        description="Vọng Gác's agent: observes this machine and reports to the provincial data centre.",
        epilog="example: vonggac-agent status --lang en",
    )
    from agent import __version__

    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    enroll = commands.add_parser(
        "enroll",
        parents=[common, as_json],
        help="make this machine known to a collector, with a one-time token",
        epilog="example: vonggac-agent enroll --collector https://soc.example:8444 --token-file token.txt",
    )
    enroll.add_argument(
        "--collector", required=True, metavar="URL", help="the collector's agent port, https://…"
    )
    token = enroll.add_mutually_exclusive_group(required=True)
    token.add_argument("--token-file", metavar="FILE", help="file that holds the token; - is standard input")
    token.add_argument("--token", help="the token itself (others on this machine may see it while this runs)")
    enroll.add_argument(
        "--force", action="store_true", help="enrol again although this machine has an identity"
    )
    enroll.set_defaults(command=_enroll)

    run = commands.add_parser(
        "run",
        parents=[common],
        help="observe and report until stopped (SIGTERM or Ctrl-C)",
        epilog="example: vonggac-agent run --config /etc/vonggac-agent/agent.toml",
    )
    run.set_defaults(command=_run)

    once = commands.add_parser(
        "once",
        parents=[common, as_json],
        help="run every collector once and send what was found",
        epilog="example: vonggac-agent once --dry-run --only host --only lan",
    )
    once.add_argument("--dry-run", action="store_true", help="show what was found; keep and send nothing")
    once.add_argument(
        "--only", action="append", default=[], metavar="COLLECTOR", help="only this one (repeat)"
    )
    once.set_defaults(command=_once)

    status = commands.add_parser(
        "status",
        parents=[common, as_json],
        help="say what is wrong and what to do; exit status 1 where something is",
        epilog="example: vonggac-agent status --lang en",
    )
    status.add_argument("--lang", choices=("vi", "en"), default="vi", help="language (vi)")
    status.set_defaults(command=_status)

    update = commands.add_parser("update", help="take a release of the agent (root's part of an update)")
    updates = update.add_subparsers(required=True, metavar="COMMAND")
    apply = updates.add_parser(
        "apply",
        parents=[common, as_json],
        help="verify the release that was fetched, or FILE; switch to it; go back where it does not work",
        epilog="example: vonggac-agent update apply /media/usb/vonggac-0.3.0.vgrelease",
    )
    apply.add_argument(
        "file", nargs="?", type=Path, metavar="FILE", help="a .vgrelease that was brought here"
    )
    apply.add_argument(
        "--key",
        type=Path,
        metavar="FILE",
        help="the public keys that count (release.pub beside the settings)",
    )
    apply.add_argument(
        "--restart",
        default="",
        metavar="COMMAND",
        help="restarts the agent (systemctl restart vonggac-agent.service)",
    )
    apply.add_argument(
        "--health-seconds",
        type=float,
        default=300.0,
        metavar="N",
        help="a version that does not work within so long is replaced by the one before it (300; 150 at least)",
    )
    apply.add_argument("--again", action="store_true", help="also a version that was rolled back here before")
    apply.set_defaults(command=_update_apply)
    launcher = updates.add_parser(
        "launcher",
        help="put beside the versions what starts them, and goes back where one cannot start (for installers)",
        epilog="example: vonggac-agent update launcher",
    )
    launcher.set_defaults(command=_update_launcher)

    service = commands.add_parser("service", help="the agent as a Windows service (on Windows only)")
    services = service.add_subparsers(required=True, metavar="COMMAND")
    for name, text in (
        (
            "install",
            "make the service, its folders and their rights, and start it; or bring it to this version",
        ),
        ("remove", "stop the service and take it away; the folder of data stays"),
        ("run", "what Windows starts; by hand it is: vonggac-agent run"),
    ):
        one = services.add_parser(
            name, parents=[common], help=text, epilog=f"example: vonggac-agent service {name}"
        )
        if name == "remove":
            one.add_argument(
                "--purge", action="store_true", help="also key, settings and what has not been sent"
            )
        one.set_defaults(command=_service, act=name)

    remove = commands.add_parser(
        "remove",
        parents=[common],
        help="take the agent off this machine: units, versions, settings, state, its user",
        epilog="example: vonggac-agent remove --dry-run; vonggac-agent remove --yes",
    )
    remove.add_argument("--dry-run", action="store_true", help="show what would be removed; change nothing")
    remove.add_argument("--yes", action="store_true", help="do it")
    remove.set_defaults(command=_remove)

    check = commands.add_parser(
        "check-config",
        parents=[common, as_json],
        help="read the settings, touch nothing, show what is in force",
        epilog="example: vonggac-agent check-config --config agent.toml",
    )
    check.set_defaults(command=_check_config)
    return parser


def _load(arguments: argparse.Namespace) -> tuple[Settings, StateDirectory, list[Collector]]:
    from agent.runtime.loading import load
    from agent.settings_file import SettingsError

    try:
        return load(arguments.config, arguments.state)
    except (SettingsError, ValueError) as error:
        raise _Failure(str(error), 2) from error


def _print_json(value: object) -> None:
    import msgspec

    print(msgspec.json.encode(value).decode())


def _enroll(arguments: argparse.Namespace) -> int:
    from agent.runtime.errors import AgentError
    from agent.runtime.locking import hold_state
    from agent.runtime.proxy import proxy_of
    from agent.runtime.transport import Address

    settings, state, _ = _load(arguments)
    if state.identity.exists() and not arguments.force:
        raise _Failure(f"{state.root}: this machine has already enrolled: give --force to enrol it anew")
    try:
        source = arguments.token_file
        if source is None:
            token = arguments.token
        else:
            token = sys.stdin.readline() if source == "-" else Path(source).read_text(encoding="ascii")
        address = Address.of(arguments.collector)
        proxy = proxy_of(settings.collector)
    except (OSError, ValueError) as error:
        raise _Failure(str(error), 2) from error
    try:
        hold_state(state)
        from agent.runtime.enrolment import enrol
        from agent.runtime.evidence import host_facts

        facts = host_facts(Path(settings.host.root))
        identity = enrol(state, address, token.strip(), facts, proxy, settings.agent.tpm)
    except (AgentError, OSError) as error:
        raise _Failure(str(error)) from error
    if arguments.json:
        _print_json(identity)
    else:
        print(f"enrolled as {identity.endpoint_id} with {identity.collector_url}")
        if sys.platform == "win32":
            print("next: nothing, where the service is installed; else: vonggac-agent service install")
        else:
            print("next: systemctl enable --now vonggac-agent   (or: vonggac-agent run)")
    return 0


def _run(arguments: argparse.Namespace) -> int:
    from agent.runtime.process import Order, become

    become(
        Order(
            config=None if arguments.config is None else str(arguments.config),
            state=None if arguments.state is None else str(arguments.state),
        )
    )


def _once(arguments: argparse.Namespace) -> int:
    settings, state, collectors = _load(arguments)
    from agent.runtime import once
    from agent.runtime.errors import AgentError
    from agent.runtime.identity import load_identity
    from agent.runtime.locking import hold_state
    from agent.runtime.log import Log
    from agent.settings import stated

    known = {c.name for c in collectors}
    for name in arguments.only:
        if name not in known:
            raise _Failure(f"no collector is called {name!r}; known: {', '.join(sorted(known))}", 2)
    wanted = set(arguments.only) or known - set(settings.collectors.disabled)
    chosen = [c for c in collectors if c.name in wanted]
    if arguments.dry_run:
        found = once.look(settings, chosen)
        if arguments.json:
            _print_json(found)
        else:
            _show(found)
        return int(any(each.failure for each in found))
    if arguments.only:
        raise _Failure("--only goes with --dry-run: a part of the truth is not sent", 2)
    try:
        load_identity(state, finish=False)
        hold_state(state)
        said = stated(arguments.config)
        sent = once.collect_and_send(settings, state, collectors, Log(), stated=said)
    except (AgentError, OSError) as error:
        raise _Failure(str(error)) from error
    if arguments.json:
        _print_json(sent)
    elif sent.waiting == 0:
        print("sent")
    if sent.waiting:
        raise _Failure(f"{sent.waiting} batches wait on disk: {sent.link}: {sent.detail}")
    return int(bool(sent.failures))


def _show(found: Sequence[object]) -> None:
    import msgspec

    for each in found:
        print(msgspec.json.format(msgspec.json.encode(each), indent=2).decode())


def _status(arguments: argparse.Namespace) -> int:
    from agent.runtime.diagnosis import Asked, diagnose, render

    _, state, _ = _load(arguments)
    lang: Lang = arguments.lang
    diagnosis = diagnose(state, lang, asked=Asked(arguments.config, arguments.state))
    if arguments.json:
        _print_json(diagnosis)
    else:
        print(render(diagnosis, lang))
    return 0 if diagnosis.ok else 1


def _update_apply(arguments: argparse.Namespace) -> int:
    from agent.runtime.errors import AgentError
    from agent.update import commands
    from agent.update.place import DONE

    _, state, _ = _load(arguments)
    arguments.key = arguments.key or (
        arguments.config.parent / "release.pub" if arguments.config else commands.KEY
    )
    try:
        record, line = commands.apply(arguments, state)
    except (AgentError, OSError) as error:
        raise _Failure(str(error)) from error
    if arguments.json:
        _print_json(record)
    else:
        print(line)
    return 0 if record is None or record.state == DONE else 1


def _update_launcher(_arguments: argparse.Namespace) -> int:
    from agent.runtime.errors import AgentError
    from agent.update import commands

    try:
        print(commands.put_launcher_here())
    except (AgentError, OSError) as error:
        raise _Failure(str(error)) from error
    return 0


def _service(arguments: argparse.Namespace) -> int:
    if sys.platform == "win32":
        from agent.windows import service_commands

        return service_commands.carry_out(arguments)
    raise _Failure("service: there is one on Windows only; here systemd has it, or: vonggac-agent run", 2)


def _remove(arguments: argparse.Namespace) -> int:
    from agent.runtime.errors import AgentError, NotEnrolledError
    from agent.runtime.identity import load_identity
    from agent.update import removal

    try:
        places = removal.places_of(arguments.config, arguments.state)
        found = removal.survey(places).lines()
        for line in found:
            print(line)
        if not found:
            print("there is no agent on this machine")
        if arguments.dry_run or not found:
            return 0
        if not arguments.yes:
            raise _Failure("nothing was removed: give --yes to remove all of this", 2)
        try:
            endpoint = load_identity(places.state, finish=False).endpoint_id
        except NotEnrolledError:
            endpoint = ""
        left = removal.remove(places)
    except (AgentError, OSError) as error:
        raise _Failure(str(error)) from error
    if left:
        raise _Failure("not all of it is gone:\n  " + "\n  ".join(left))
    print("nothing of the agent is left on this machine")
    if endpoint:
        print(f"revoke or retire it in the console: {endpoint}")
    return 0


def _check_config(arguments: argparse.Namespace) -> int:
    own, state, collectors = _load(arguments)
    from agent.runtime.managed.manager import look
    from agent.settings import stated

    settings, standing, origins = look(state, own, stated(arguments.config), collectors)
    rows = [
        {
            "name": c.name,
            "enabled": c.name not in settings.collectors.disabled,
            "interval_seconds": settings.collectors.intervals.get(c.name, c.interval_seconds),
            "privileges": c.privileges,
            "description": c.description,
        }
        for c in collectors
    ]
    from agent.probe.parts import chosen_parts
    from agent.settings_file import SettingsError

    try:
        probe = chosen_parts(settings)
    except SettingsError as error:
        raise _Failure(str(error), status=2) from error
    if arguments.json:
        parts = [{"name": each.part.name, "settings": each.settings} for each in probe]
        shown = {"settings": settings, "state_dir": str(state.root), "collectors": rows, "probe": parts}
        _print_json({**shown, "from_collector": standing, "origins": origins})
        return 0
    print(f"settings are sound; state directory {state.root}")
    if standing.number:
        there = sorted(name for name, origin in origins.items() if origin == "collector")
        print(f"settings {standing.number} of the collector say: {', '.join(there) or 'nothing'}")
    for row in rows:
        state_word = "" if row["enabled"] else "  (disabled)"
        print(f"  {row['name']:<24} every {row['interval_seconds']:g} s  {row['description']}{state_word}")
    for each in probe:
        print(f"  {'probe: ' + each.part.name:<24} {each.part.description}")
    return 0


if __name__ == "__main__":
    main()
