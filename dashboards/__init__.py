"""The console's files: templates, styles, scripts, translations. Imports none of the other packages."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).resolve().parent

TEMPLATES: Final = _HERE / "templates"
STATIC: Final = _HERE / "static"
#: What :mod:`dashboards.build` makes from npm packages; never committed.
VENDOR: Final = STATIC / "vendor"
TRANSLATIONS: Final = _HERE / "translations"
