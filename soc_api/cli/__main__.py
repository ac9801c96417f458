"""``python -m soc_api.cli``."""

from soc_api.cli import main

main(prog_name="vonggac")
