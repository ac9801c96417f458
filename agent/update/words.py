"""What ``vonggac-agent status`` says of updates, in Vietnamese and English; and why a release was not taken."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from agent.runtime.files import read_own
from agent.runtime.words import Words
from agent.update.following import FOLDER, READY, TOLD

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from agent.runtime.words import Lang

#: A release that root's command has not looked at for so long waits for somebody.
_WAITING_SECONDS: Final = 900.0
_MOST_TOLD_BYTES: Final = 64 << 10

#: By the codes of :class:`agent.update.errors.ReleaseError`, of the agent's own part, and of a roll-back.
REASONS: Final[dict[str, Words]] = {
    "form": Words("tệp phát hành không đúng dạng", "it is not of the form of a release"),
    "signature": Words(
        "chữ ký không phải của khoá mà máy này tin", "its signature is not of a key trusted here"
    ),
    "key": Words("không đọc được khoá công khai", "the public key cannot be read"),
    "no_key": Words("máy này chưa có khoá công khai", "this machine has no public key"),
    "digest": Words("một tệp không đúng như đã ký", "a file is not what was signed"),
    "older": Words("cũ hơn bản đang chạy", "it is older than the one that runs"),
    "platform": Words(
        "không có bản cho hệ máy hoặc Python này", "it has nothing for this machine or its Python"
    ),
    "failed_before": Words(
        "đã thử trên máy này và bị lui lại", "it was tried on this machine and rolled back"
    ),
    "disk": Words("không đủ chỗ hoặc không ghi được đĩa", "too little room, or the disk cannot be written"),
    "build": Words("không cài đặt được trên máy này", "it could not be installed on this machine"),
    "place": Words(
        "chương trình không được cài theo cách cập nhật được", "the agent was not installed for updates"
    ),
    "interrupted": Words("bị ngắt giữa chừng, chưa đổi gì", "it was interrupted before anything changed"),
    "busy": Words("một lần cập nhật khác đang chạy", "another update is at work"),
    "not_served": Words("máy chủ không đưa tệp", "the collector does not serve a file"),
    "restart": Words("không khởi động lại được dịch vụ", "the service could not be restarted"),
    "silent": Words("bản mới không chạy được", "the new version did not come up"),
    "restarts": Words("bản mới cứ khởi động lại mãi", "the new version starts again and again"),
    "unreachable": Words(
        "bản mới không liên lạc được với máy chủ", "the new version did not reach the collector"
    ),
}

ROLLED_BACK: Final = (
    Words(
        "Bản {version} không dùng được ({why}); đã tự lui về {before}. {detail}",
        "Version {version} did not work ({why}); the agent went back to {before}. {detail}",
    ),
    Words(
        "Báo trung tâm giám sát; bản này sẽ không được thử lại.",
        "Tell the SOC; this version is not tried again.",
    ),
)
REFUSED: Final = (
    Words(
        "Bản {version} không được nhận: {why}. {detail}", "Version {version} was not taken: {why}. {detail}"
    ),
    Words(
        "Báo trung tâm giám sát; bản đang chạy vẫn tiếp tục.", "Tell the SOC; the present version goes on."
    ),
)
WAITING: Final = (
    Words(
        "Chưa tải được bản {version}: {why}. {detail}",
        "Version {version} cannot be fetched yet: {why}. {detail}",
    ),
    Words("Khắc phục nguyên nhân; việc tải tự tiếp tục.", "Remove the cause; fetching goes on by itself."),
)
READY_SINCE: Final = (
    Words(
        "Bản {version} đã tải xong và chờ áp dụng đã {minutes} phút.",
        "Version {version} has been fetched and has waited {minutes} minutes to be applied.",
    ),
    Words(
        "Chạy với quyền root: vonggac-agent update apply (hoặc xem systemctl status vonggac-agent-update.path)",
        "Run as root: vonggac-agent update apply (or see systemctl status vonggac-agent-update.path)",
    ),
)


def why(code: str, lang: Lang) -> str:
    words = REASONS.get(code)
    return code if words is None else words.say(lang)


def problems(
    state: Path, lang: Lang, now: float
) -> Iterator[tuple[str, tuple[Words, Words], dict[str, Any]]]:
    """What is wrong with updates on this machine, by what the agent last told of itself: code, words and values."""
    try:
        told = json.loads(read_own(state / FOLDER / TOLD, _MOST_TOLD_BYTES))
        wanted, standing, last = told.get("wanted"), told.get("state"), told.get("last", {})
    except (OSError, ValueError, AttributeError, RecursionError):
        return
    values = {
        "version": wanted,
        "why": why(str(told.get("code", "")), lang),
        "detail": str(told.get("detail", "")),
    }
    if isinstance(last, dict) and last.get("state") == "rolled_back":
        said = {
            "version": last.get("version"),
            "before": last.get("before"),
            "detail": last.get("detail", ""),
        }
        yield "update_rolled_back", ROLLED_BACK, {**said, "why": why(str(last.get("code", "")), lang)}
    elif standing == "refused":
        yield "update_refused", REFUSED, values
    if standing == "waiting":
        yield "update_waiting", WAITING, values
    if standing == "ready":
        try:
            waited = now - (state / FOLDER / READY).stat().st_mtime
        except OSError:
            return
        if waited > _WAITING_SECONDS:
            yield "update_ready", READY_SINCE, {"version": wanted, "minutes": round(waited / 60)}
