"""What ``vonggac-agent status`` tells people, in Vietnamese and English: what is wrong, and what to do.

One table for both languages, so that neither can fall behind.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

Lang = Literal["vi", "en"]


class Words(Struct, frozen=True):
    vi: str
    en: str

    def say(self, lang: Lang, **values: object) -> str:
        return (self.vi if lang == "vi" else self.en).format(**values)


_VI_ANEW: Final = (
    "xin mã mới của trung tâm, dừng tác tử, chạy vonggac-agent enroll --force, rồi khởi động lại: {start}"
)
_EN_ANEW: Final = (
    "ask the SOC for a new token, stop the agent, run vonggac-agent enroll --force, and start it: {start}"
)

#: By :attr:`agent.runtime.status.Link.code`: what it means, and what to do (empty: nothing).
LINK: Final[dict[str, tuple[Words, Words]]] = {
    "ok": (Words("Đang gửi tới {url}.", "Reporting to {url}."), Words("", "")),
    "starting": (
        Words("Vừa khởi động, chưa liên lạc với {url}.", "Just started, not yet in contact with {url}."),
        Words("Chờ một phút rồi xem lại.", "Wait a minute and look again."),
    ),
    "stopped": (
        Words("Chương trình đã dừng.", "The agent has been stopped."),
        Words("Khởi động lại: {start}", "Start it: {start}"),
    ),
    "unreachable": (
        Words("Không kết nối được tới {url} ({detail}).", "{url} cannot be reached ({detail})."),
        Words(
            "Kiểm tra mạng, tường lửa và cổng tới trung tâm; dữ liệu được giữ trên đĩa và sẽ gửi sau.",
            "Check the network, firewall and port to the data centre; data is kept on disk and sent later.",
        ),
    ),
    "proxy": (
        Words(
            "Proxy không cho đi tới {url} ({detail}).", "The proxy does not let through to {url} ({detail})."
        ),
        Words(
            "Kiểm tra [collector] proxy, người dùng và mật khẩu; proxy phải cho phép CONNECT tới cổng này.",
            "Check [collector] proxy, its user and password; the proxy must allow CONNECT to this port.",
        ),
    ),
    "untrusted": (
        Words(
            "Máy chủ tại {url} không phải máy chủ đã đăng ký ({detail}).",
            "What answers at {url} is not the collector this machine enrolled with ({detail}).",
        ),
        Words(
            "Không gửi gì tới đó. Báo trung tâm giám sát; nếu máy chủ đã đổi, đăng ký lại bằng mã mới.",
            "Nothing is sent there. Tell the SOC; if the collector was replaced, enrol with a new token.",
        ),
    ),
    "revoked": (
        Words("Chứng thư của máy này đã bị thu hồi.", "This machine's certificate has been revoked."),
        Words(
            "Liên hệ trung tâm giám sát để lấy mã mới, rồi chạy: vonggac-agent enroll",
            "Ask the SOC for a new token, then run: vonggac-agent enroll",
        ),
    ),
    "rejected": (
        Words(
            "Máy chủ không chấp nhận chứng thư của máy này ({detail}).",
            "The collector does not accept this machine's certificate ({detail}).",
        ),
        Words(
            "Kiểm tra ngày giờ của máy; nếu đúng, xin mã mới rồi chạy: vonggac-agent enroll",
            "Check this machine's date and time; if right, ask for a new token and run: vonggac-agent enroll",
        ),
    ),
    "busy": (
        Words("Máy chủ đang bận ({detail}).", "The collector is busy ({detail})."),
        Words("Không cần làm gì; sẽ tự gửi lại.", "Nothing to do; it will be sent again."),
    ),
    "key_absent": (
        Words(
            "Khóa của máy này được niêm phong trong TPM, nhưng không thấy TPM.",
            "This machine's key is sealed to its TPM, but there is none to be seen.",
        ),
        Words(
            "Bật TPM (Security Device) trong BIOS/UEFI rồi khởi động lại máy; dịch vụ phải được dùng /dev/tpmrm0 "
            f"(DeviceAllow=, không có PrivateDevices=); nếu không còn TPM ấy: {_VI_ANEW}",
            "Turn the TPM (security device) on in the firmware, restart the machine; the service must be allowed "
            f"/dev/tpmrm0 (DeviceAllow=, no PrivateDevices=); if the TPM is gone: {_EN_ANEW}",
        ),
    ),
    "key_denied": (
        Words(
            "Khóa của máy này được niêm phong trong TPM, nhưng tác tử không có quyền dùng TPM.",
            "This machine's key is sealed to its TPM, but the agent may not use the TPM.",
        ),
        Words(
            "Cho người dùng của tác tử vào nhóm tss và cho dịch vụ dùng /dev/tpmrm0, rồi khởi động lại dịch vụ.",
            "Put the agent's user into the group tss, allow the service /dev/tpmrm0, and restart the service.",
        ),
    ),
    "key_locked": (
        Words(
            "TPM của máy này đang khóa (chủ TPM đã đặt mật khẩu hoặc đã tắt) nên không mở khóa của tác tử.",
            "This machine's TPM is locked (its owner set a password, or turned it off): it does not open the key.",
        ),
        Words(
            f"Bỏ mật khẩu chủ (owner) của TPM hoặc bật lại, tác tử sẽ tự thử lại; nếu không được: {_VI_ANEW}",
            f"Take the owner's password away, or turn it on; the agent tries again. If it cannot be: {_EN_ANEW}",
        ),
    ),
    "key_other": (
        Words(
            "Khóa của tác tử không phải do TPM của máy này niêm phong: TPM đã bị xóa, đã thay bo mạch, hoặc đĩa "
            "chép từ máy khác.",
            "The agent's key was not sealed by this machine's TPM: it was cleared, the mainboard was replaced, or "
            "the disk is another machine's.",
        ),
        Words(f"Khóa cũ không lấy lại được: {_VI_ANEW}", f"The old key is lost: {_EN_ANEW}"),
    ),
    "key_damaged": (
        Words("Tệp agent.key bị hỏng ({detail}).", "The file agent.key is damaged ({detail})."),
        Words(f"Đăng ký lại: {_VI_ANEW}", f"Enrol again: {_EN_ANEW}"),
    ),
    "key_failed": (
        Words("TPM không mở khóa của tác tử: {detail}", "The TPM does not open the agent's key: {detail}"),
        Words(
            f"Tác tử tự thử lại. Nếu kéo dài, khởi động lại máy; nếu vẫn vậy: {_VI_ANEW}",
            f"The agent tries again by itself. If it lasts, restart the machine; if that is no help: {_EN_ANEW}",
        ),
    ),
}

NOT_ENROLLED: Final = (
    Words("Máy này chưa đăng ký.", "This machine has not enrolled."),
    Words(
        "Xin mã của trung tâm, rồi chạy: vonggac-agent enroll --collector https://…:8444 --token-file -",
        "Ask the SOC for a token, then run: vonggac-agent enroll --collector https://…:8444 --token-file -",
    ),
)
LOOKED_AT: Final = Words(
    "Đã tìm: cấu hình {config}, thư mục {state}; nếu ở nơi khác, thêm --config TỆP hoặc --state THƯ MỤC.",
    "Looked at: settings {config}, directory {state}; if elsewhere, add --config FILE or --state DIR.",
)
ABSENT: Final = Words("{path} (không có)", "{path} (absent)")
NOT_RUNNING: Final = (
    Words("Chương trình không chạy.", "The agent is not running."),
    Words("Khởi động: {start}", "Start it: {start}"),
)
SPOOL: Final = (
    Words("Không ghi được xuống đĩa: {detail}.", "The disk cannot be written: {detail}."),
    Words(
        "Giải phóng dung lượng đĩa hoặc kiểm tra quyền ghi.", "Free disk space, or check who may write there."
    ),
)
DROPPED: Final = (
    Words("Đã phải bỏ vì đầy bộ đệm: {detail}.", "Had to be dropped because the spool was full: {detail}."),
    Words(
        "Khôi phục kết nối tới trung tâm, hoặc tăng [agent] spool_bytes.",
        "Restore the connection to the data centre, or raise [agent] spool_bytes.",
    ),
)
REFUSED: Final = (
    Words("Máy chủ từ chối {detail} gói dữ liệu.", "The collector refused {detail} batches."),
    Words("Gửi thư mục spool/refused cho trung tâm giám sát.", "Send the folder spool/refused to the SOC."),
)
EXPIRED: Final = (
    Words("Chứng thư đã hết hạn lúc {detail}.", "The certificate expired at {detail}."),
    Words("Xin mã mới rồi chạy: vonggac-agent enroll", "Ask for a new token, then run: vonggac-agent enroll"),
)
SKEW: Final = (
    Words("Đồng hồ máy này lệch {detail} giây.", "This machine's clock is off by {detail} seconds."),
    Words("Bật đồng bộ thời gian (NTP).", "Turn on time synchronisation (NTP)."),
)
COLLECTOR: Final = (
    Words("Bộ thu thập {name} gặp lỗi: {detail}", "Collector {name} fails: {detail}"),
    Words("Gửi thông báo này cho trung tâm giám sát.", "Send this message to the SOC."),
)
#: By :attr:`agent.runtime.status.SettingsState.failure`.
SETTINGS_FAILED: Final[dict[str, tuple[Words, Words]]] = {
    "rolled_back": (
        Words(
            "Cấu hình số {number} từ trung tâm đã được tự thu hồi lúc {when}: {detail}.",
            "Settings {number} of the data centre were taken back at {when}: {detail}.",
        ),
        Words(
            "Không cần làm gì trên máy này: cấu hình trước đó đang có hiệu lực. Báo trung tâm giám sát.",
            "Nothing to do on this machine: the settings from before are in force. Tell the SOC.",
        ),
    ),
    "refused": (
        Words(
            "Cấu hình số {number} từ trung tâm bị từ chối lúc {when}: {detail}.",
            "Settings {number} of the data centre were refused at {when}: {detail}.",
        ),
        Words(
            "Không cần làm gì trên máy này: cấu hình đang dùng vẫn giữ nguyên. Báo trung tâm giám sát.",
            "Nothing to do on this machine: the settings in use stay. Tell the SOC.",
        ),
    ),
}

WELL: Final = Words("Mọi thứ bình thường.", "All is well.")
WHAT_TO_DO: Final = Words("Cần làm", "What to do")
LAST_CONTACT: Final = Words("Liên lạc gần nhất: {when}", "Last contact: {when}")
NEVER: Final = Words("chưa lần nào", "never")
BACKLOG: Final = Words(
    "Đang chờ gửi: {files} gói, {size} KB", "Waiting to be sent: {files} batches, {size} KB"
)
RENEWAL: Final = (
    Words("Chưa gia hạn được chứng thư: {detail}", "The certificate could not be renewed: {detail}"),
    Words(
        "Tác tử tự thử lại; chứng thư hiện nay dùng đến {when}.",
        "The agent tries again by itself; the present certificate is good until {when}.",
    ),
)
KEY_SEALED: Final = Words("Khóa: niêm phong trong TPM", "Key: sealed to the TPM")
KEY_IN_FILE: Final = Words("Khóa: trong tệp", "Key: in a file")
CERTIFICATE: Final = Words("Chứng thư dùng đến: {when}", "Certificate good until: {when}")
ENDPOINT: Final = Words("Mã máy: {id}", "Endpoint: {id}")
COLLECTORS: Final = Words(
    "Bộ thu thập: {ok} chạy tốt, {failing} lỗi", "Collectors: {ok} fine, {failing} failing"
)
NOTHING_HERE: Final = Words("  {name}: không có ở máy này ({detail})", "  {name}: none here ({detail})")
#: By :attr:`agent.runtime.status.SettingsState.state`.
SETTINGS: Final[dict[str, Words]] = {
    "own": Words("Cấu hình: của riêng máy này", "Settings: this machine's own"),
    "trying": Words(
        "Cấu hình: số {number} từ trung tâm, đang thử",
        "Settings: number {number} of the data centre, on trial",
    ),
    "in_force": Words("Cấu hình: số {number} từ trung tâm", "Settings: number {number} of the data centre"),
}
