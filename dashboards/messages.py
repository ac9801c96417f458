"""Keeps the Vietnamese catalogue in step with the messages in templates and Python.

``python -m dashboards.messages`` adds new messages to ``messages.po`` (empty, to be translated) and drops those that
nobody uses; ``--check`` only says what is missing. A test runs the check.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

from dashboards import TEMPLATES, TRANSLATIONS

if TYPE_CHECKING:
    from babel.messages.catalog import Message

VIETNAMESE: Final = TRANSLATIONS / "vi" / "LC_MESSAGES" / "messages.po"
_PYTHON: Final = Path(__file__).resolve().parent.parent / "soc_api"
#: How messages are written: ``_()`` and ``plural()`` in templates, ``t()``, ``plural()`` and ``N_()`` in Python.
_KEYWORDS: Final = {"_": None, "t": None, "N_": None, "self": None, "_t": None, "plural": (1, 2)}


def extract() -> Catalog:
    """All messages in use, with where they stand."""
    catalog = Catalog(project="Vọng Gác", version="1", charset="utf-8")
    for folder, method, options in (
        (TEMPLATES, [("**.html", "jinja2")], {"**.html": {"trimmed": "true", "silent": "false"}}),
        (_PYTHON, [("**.py", "python")], {}),
    ):
        found = extract_from_dir(folder, method, options, keywords=_KEYWORDS)
        for name, line, message, comments, context in found:
            catalog.add(
                message, None, [(f"{folder.name}/{name}", line)], auto_comments=comments, context=context
            )
    return catalog


def read() -> Catalog:
    """The Vietnamese catalogue as it stands; raise where it cannot be read as a .po file."""
    with VIETNAMESE.open("rb") as file:
        return read_po(file, locale="vi", abort_invalid=True)


def faults(used: Catalog, translated: Catalog) -> list[str]:
    """One line for each message that is missing, marked fuzzy, or whose placeholders differ; and for each unused."""
    lines: list[str] = []
    for message in used:
        if not message.id:
            continue
        found = translated.get(message.id, message.context)
        if found is None or not _is_translated(found):
            lines.append(f"not translated: {_name(message)}")
        elif found.fuzzy:
            lines.append(f"fuzzy: {_name(message)}")
        else:
            lines += [f"{error}: {_name(message)}" for error in found.check(translated)]
    known = {_name(message) for message in used if message.id}
    unused = [_name(message) for message in translated if message.id and _name(message) not in known]
    return lines + [f"no longer used: {name}" for name in unused]


def update() -> int:
    """Write the catalogue anew; return how many messages still have no translation."""
    used = extract()
    catalog = read() if VIETNAMESE.exists() else Catalog(locale="vi", project="Vọng Gác", version="1")
    catalog.update(used, no_fuzzy_matching=True)
    catalog.obsolete.clear()
    catalog.fuzzy = False
    catalog.header_comment = "# Vietnamese wording of the console, the reports' page and the error pages."
    out = io.BytesIO()
    write_po(
        out, catalog, width=0, sort_output=True, omit_header=False, include_lineno=False, no_location=True
    )
    text = out.getvalue().decode()
    dated = (
        "POT-Creation-Date",
        "PO-Revision-Date",
        "Last-Translator",
        "Language-Team",
        "Generated-By",
        "Report-Msgid-Bugs-To",
    )
    VIETNAMESE.write_text(
        "".join(
            line
            for line in text.splitlines(keepends=True)
            if not line.startswith(tuple(f'"{d}' for d in dated))
        )
    )
    return sum(1 for message in catalog if message.id and not _is_translated(message))


def _is_translated(message: Message) -> bool:
    strings = (message.string,) if isinstance(message.string, str) else tuple(message.string or ())
    return bool(strings) and all(strings)


def _name(message: Message) -> str:
    return message.id if isinstance(message.id, str) else message.id[0]


def main() -> int:
    if "--check" in sys.argv[1:]:
        lines = faults(extract(), read())
        print("\n".join(lines) or "every message has its translation")
        return 1 if lines else 0
    missing = update()
    print(f"{VIETNAMESE}: {missing} without a translation")
    return 0


if __name__ == "__main__":
    sys.exit(main())
