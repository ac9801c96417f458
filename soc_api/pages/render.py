"""Turns a page's context into HTML, or JSON where the caller asks for it."""

from __future__ import annotations

import secrets
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import jinja2
import msgspec
from markupsafe import Markup, escape
from starlette.responses import Response

from dashboards import TEMPLATES
from soc_api.i18n import DEFAULT_LANGUAGE, LANGUAGES, translator
from soc_api.pages.assets import ASSETS
from soc_api.pages.query import SIMULATED
from soc_api.pages.words import Words

if TYPE_CHECKING:
    from datetime import datetime

    from fastapi import Request

    from soc_api.accounts.principal import Principal
    from soc_api.i18n import Translator
    from soc_api.services import Services

THEMES: Final = ("auto", "light", "dark")
_YEAR_SECONDS: Final = 365 * 86400


@dataclass(frozen=True)
class Live:
    """What the live bar needs to begin: alerts newer than ``since`` are new; ``here`` when this page shows them."""

    since: int
    here: bool


@dataclass(frozen=True)
class Shell:
    """What surrounds every page."""

    principal: Principal | None
    lang: str
    theme: str
    path: str
    address: str
    now: datetime
    nonce: str
    simulated: bool
    open_alerts: int | None = None
    live: Live | None = None

    @property
    def carried(self) -> str:
        """What a link to another page takes along: that simulated machines are looked at too."""
        return "?simulated=1" if self.simulated else ""


def language_of(request: Request) -> str:
    """The language cookie's, the default one where it says nothing that we have."""
    lang = request.cookies.get("lang", "")
    return lang if lang in LANGUAGES else DEFAULT_LANGUAGE


def theme_of(request: Request) -> str:
    theme = request.cookies.get("theme", "")
    return theme if theme in THEMES else THEMES[0]


def translator_of(request: Request) -> Translator:
    return translator(language_of(request))


def set_preference(response: Response, name: str, value: str) -> None:
    response.set_cookie(
        name, value, max_age=_YEAR_SECONDS, path="/", secure=True, httponly=True, samesite="lax"
    )


def shell_of(
    request: Request,
    services: Services,
    principal: Principal | None,
    *,
    open_alerts: int | None = None,
    live: Live | None = None,
) -> Shell:
    return Shell(
        principal=principal,
        lang=language_of(request),
        theme=theme_of(request),
        path=request.url.path,
        address=request.url.path + (f"?{request.url.query}" if request.url.query else ""),
        now=services.clock(),
        nonce=secrets.token_urlsafe(16),
        simulated=request.query_params.get("simulated") in SIMULATED,
        open_alerts=open_alerts,
        live=live,
    )


def render(request: Request, template: str, page: object, shell: Shell, status: int = 200) -> Response:
    """``page`` (a dataclass) through ``template``; as JSON where ``Accept`` asks for it and not for HTML."""
    accept = request.headers.get("accept", "")
    if "application/json" in accept and "text/html" not in accept:
        return Response(msgspec.json.encode(page, enc_hook=str), status, media_type="application/json")
    html = environment(shell.lang).get_template(template).render(page=page, shell=shell)
    return Response(
        html, status, headers=security_headers(shell.nonce), media_type="text/html; charset=utf-8"
    )


def security_headers(nonce: str) -> dict[str, str]:
    """Nothing inline, nothing from elsewhere; htmx acts only on elements that carry this answer's own nonce, and is
    the only one that may turn text into HTML (CSP 3, Trusted Types)."""
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types htmx"
    )
    return {"Content-Security-Policy": policy, "Cache-Control": "no-store", "Vary": "Cookie, Accept"}


@cache
def environment(lang: str) -> jinja2.Environment:
    """The templates in one language; autoescaping everywhere, an undefined name is an error."""
    t = translator(lang)
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    made.install_gettext_translations(t.catalogue, newstyle=True)  # type: ignore[attr-defined]  # added by the extension
    made.globals.update(t=t, plural=t.plural, words=Words(t), static=ASSETS.address)
    made.filters["visible"] = visible
    made.filters["plain"] = plain
    made.filters["breakable"] = breakable
    return made


#: Characters that change how the ones around them look, or look like nothing (Unicode TR 36, 2.10).
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def visible(value: object, longest: int = 4000) -> Markup:
    """Text from outside, escaped, with every control, format and line-breaking character written out.

    A bidirectional override or a null in a host name is shown as what it is (``U+202E``), and cannot re-order or hide
    what stands around it. Tab and newline stay.
    """
    text = "" if value is None else str(value)
    cut = len(text) > longest
    parts: list[str] = []
    plain: list[str] = []
    for char in text[:longest]:
        if char in "\t\n" or unicodedata.category(char) not in _UNSEEN:
            plain.append(char)
            continue
        parts.append(str(escape("".join(plain))))
        plain.clear()
        parts.append(f'<span class="unseen">U+{ord(char):04X}</span>')
    parts.append(str(escape("".join(plain))))
    return Markup("".join(parts) + ("…" if cut else ""))  # noqa: S704 - every part was escaped above


def plain(value: object) -> str:
    """Text from outside for where no markup can stand (attributes, options, titles): the characters that
    :func:`visible` writes out become U+FFFD. It is escaped like any other string."""
    return "".join("\ufffd" if unicodedata.category(char) in _UNSEEN else char for char in str(value))


def breakable(value: object) -> Markup:
    """Like :func:`visible`, and a line may break after the separators of long names (paths, domains, hosts)."""
    shown = str(visible(value))
    for mark in ("/", ".", "-", "_", "\\"):
        shown = _break_after(shown, mark)
    return Markup(shown)  # noqa: S704 - visible() escaped it, and only <wbr> was added


def _break_after(html: str, mark: str) -> str:
    """``<wbr>`` after ``mark`` in text, never inside a tag or an entity."""
    out: list[str] = []
    inside = False
    for char in html:
        if char in "<&":
            inside = True
        out.append(char)
        if inside:
            inside = char not in ">;"
        elif char == mark:
            out.append("<wbr>")
    return "".join(out)


def to_json(value: Any) -> str:
    """For a ``<pre>``: indented, letters as they are."""
    return msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2).decode()
