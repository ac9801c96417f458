"""``vonggac-agent service install``, ``remove`` and ``run``, with Windows itself behind the ports. Windows only."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import Namespace

if sys.platform == "win32":
    from agent.runtime import process  # first: it keeps out what nobody here uses
    from agent.runtime.errors import AgentError
    from agent.settings_file import SettingsError
    from agent.windows.scm import NAME

    def carry_out(arguments: Namespace) -> int:
        """Do what ``arguments.act`` says; return the exit status."""
        order = process.Order(
            config=None if arguments.config is None else str(arguments.config.absolute()),
            state=None if arguments.state is None else str(arguments.state.absolute()),
        )
        try:
            if arguments.act == "run":
                from agent.windows.service_api import Dispatcher
                from agent.windows.service_process import serve

                return serve(order, Dispatcher(NAME))
            return _change(arguments, order)
        except (AgentError, SettingsError, OSError, ValueError) as error:
            from agent.windows.event_write import report_error

            words = f"vonggac-agent service {arguments.act}: {error}"
            sys.stderr.write(f"{words}\n")
            report_error(NAME, words)  # an installer shows nobody what it runs
            return 1

    def _change(arguments: Namespace, order: process.Order) -> int:
        from agent.runtime.loading import load
        from agent.settings import DEFAULT_CONFIG
        from agent.update.place import own_installation
        from agent.update.windows_place import WindowsInstallation
        from agent.windows.folders_api import WindowsSecurity
        from agent.windows.installing import InstallError, Installing, program_files
        from agent.windows.registry import WindowsRegistry
        from agent.windows.scm_api import WindowsManager

        place = own_installation()
        if place is None:
            raise InstallError(rf"{sys.prefix}: not of the form <folder>\versions\<version>")
        manager = WindowsManager()
        options = [
            word
            for name, value in (("--config", order.config), ("--state", order.state))
            if value is not None
            for word in (name, value)
        ]
        here = WindowsInstallation(place.root, manager)
        work = Installing(here, manager, WindowsSecurity(), DEFAULT_CONFIG.parent, options)
        if arguments.act == "remove":
            work.remove(purge=arguments.purge)
            sys.stdout.write(f"service {NAME} is gone\n")
            return 0
        state = load(arguments.config, arguments.state)[1]
        work.install(state, program_files(WindowsRegistry()))
        sys.stdout.write(f"service {NAME} runs {here.current_version}\n")
        if not state.identity.exists():
            sys.stdout.write(
                f'next: "{here.command}" enroll --collector https://soc.example:8444 --token-file token.txt\n'
            )
        return 0
