"""``vonggac windows``: the agent's package for Windows, and signatures that Windows knows

One module a family of commands.
"""

from __future__ import annotations

import click

from soc_api.cli.windows import package, sign


@click.group(name="windows", short_help="the agent's package for Windows")
def group() -> None:
    """Make the agent's package for Windows, and sign what Windows runs (Authenticode).

    \b
    Examples:
      vonggac bundle --data var --python-version 3.11 --platform win_amd64
      vonggac windows sign --wheels var/bundle --certificate code.pem --key code.key
      vonggac windows package --wheels var/bundle --python python-3.11.9-embed-amd64.zip --python-sha256 …
    """


for command in (package.package_command, sign.sign_command):
    group.add_command(command)
