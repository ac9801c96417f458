"""Which programs of Windows are known by their display name, and what the NVD calls them.

Short on purpose: a program is here only where its display name can be nobody else's and where the version that Windows
shows is the maker's own plain number, so that the NVD's ranges can be compared with it. Every other program is unknown.
"""

from __future__ import annotations

import re
from typing import Final

#: Display name (whole, as the makers' installers write it), CPE ``vendor:product``.
_PROGRAMS: Final = tuple(
    (re.compile(pattern), product)
    for pattern, product in (
        (r"7-Zip [0-9.]+(?: \(x64(?: edition)?\))?", "7-zip:7-zip"),
        (r"Adobe Acrobat Reader DC(?: MUI| - [A-Za-z]+)?", "adobe:acrobat_reader_dc"),
        (r"FileZilla(?: Client)? [0-9.]+", "filezilla-project:filezilla_client"),
        (r"Foxit (?:PDF )?Reader", "foxit:pdf_reader"),
        (r"Git(?: version [0-9.]+)?", "git-scm:git"),
        (r"Google Chrome", "google:chrome"),
        (r"KeePass Password Safe [0-9.]+", "keepass:keepass"),
        (r"LibreOffice [0-9.]+", "libreoffice:libreoffice"),
        (r"Microsoft Edge", "microsoft:edge_chromium"),
        (r"Mozilla Firefox(?: \(x(?:64|86) [a-z]{2,3}(?:-[A-Z]{2})?\))?", "mozilla:firefox"),
        (r"Mozilla Thunderbird(?: \(x(?:64|86) [a-z]{2,3}(?:-[A-Z]{2})?\))?", "mozilla:thunderbird"),
        (r"Notepad\+\+(?: \((?:32|64)-bit x(?:86|64)\))?", "notepad-plus-plus:notepad\\+\\+"),
        (r"PuTTY release [0-9.]+(?: \((?:32|64)-bit\))?", "putty:putty"),
        (r"TeamViewer", "teamviewer:teamviewer"),
        (r"VLC media player", "videolan:vlc_media_player"),
        (r"WinRAR [0-9.]+ \((?:32|64)-bit\)", "rarlab:winrar"),
        (r"WinSCP [0-9.]+", "winscp:winscp"),
        (r"Wireshark [0-9.]+(?: (?:x64|64-bit))?", "wireshark:wireshark"),
        (r"Zoom(?: Workplace)?(?: \((?:32|64)-bit\))?", "zoom:zoom"),
    )
)


def product_of(display_name: str) -> str:
    """``vendor:product`` as in a CPE 2.3 name; empty for a program that is not known for sure."""
    name = display_name.strip()
    return next((product for pattern, product in _PROGRAMS if pattern.fullmatch(name)), "")


def products() -> tuple[str, ...]:
    """All that are known."""
    return tuple(product for _, product in _PROGRAMS)
