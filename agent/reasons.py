"""Why something cannot be known or does not work: every sentence an agent gives as a reason, in both languages.

The English sentence travels, as text, in a status document, a collector's health or ``status.json``: whoever reads
the API, a rule or an exported event can read it as it is. It is also the key: :func:`translate` recognises the
sentence with its values, and says it in Vietnamese. So there is no second list of codes that may fall behind, and
the text of an older or newer agent that is not in this table is simply shown as it was sent.

Patterns are made at the first translation only: the agent that runs for months never translates.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final, Literal

from msgspec import Struct

Lang = Literal["vi", "en"]

#: The longest text that is looked at (a collector's reason has at most 255 characters).
LONGEST: Final = 600

_SUBJECTS: Final = frozenset({"where", "address", "program"})
_PARAMETER: Final = re.compile(r"\{([a-z_]+)\}")


class Sentence(Struct, frozen=True):
    """One reason. ``{names}`` are filled with what the agent found, which may be hostile and is shown as it is,
    but for two: ``{why}`` holds sentences of this table, joined by ``; ``, and ``{system_error}`` has to be one of
    the kernel's error messages of this table for the whole to be recognised.
    """

    en: str
    vi: str

    def __call__(self, **values: object) -> str:
        """The sentence to send. Raises :class:`KeyError` where a value is missing."""
        return self.en.format(**values)


# The kernel's errors, as strerror(3) words them.
NOT_PERMITTED: Final = Sentence("Permission denied", "không đủ quyền")
NOT_ALLOWED: Final = Sentence("Operation not permitted", "thao tác không được phép")
NO_SUCH_FILE: Final = Sentence("No such file or directory", "không có tệp hoặc thư mục này")
REFUSED: Final = Sentence("Connection refused", "kết nối bị từ chối")
RESET: Final = Sentence("Connection reset by peer", "kết nối bị ngắt giữa chừng")
TIMED_OUT: Final = Sentence("Connection timed out", "kết nối quá thời gian chờ")
UNREACHABLE: Final = Sentence("Network is unreachable", "không tới được mạng")
NO_HOST_ROUTE: Final = Sentence("No route to host", "không có đường tới máy")
BROKEN_PIPE: Final = Sentence("Broken pipe", "kết nối đã đóng")
NO_PROTOCOL: Final = Sentence("Protocol not supported", "nhân hệ điều hành không hỗ trợ giao thức này")
NO_FAMILY: Final = Sentence(
    "Address family not supported by protocol", "nhân hệ điều hành không hỗ trợ loại địa chỉ này"
)
NOT_SUPPORTED: Final = Sentence("Operation not supported", "thao tác không được hỗ trợ")
INPUT_OUTPUT: Final = Sentence("Input/output error", "lỗi đọc/ghi của thiết bị")
NO_MEMORY: Final = Sentence("Cannot allocate memory", "không đủ bộ nhớ")
TOO_MANY_FILES: Final = Sentence("Too many open files", "quá nhiều tệp đang mở")
IS_DIRECTORY: Final = Sentence("Is a directory", "đây là thư mục")
NOT_DIRECTORY: Final = Sentence("Not a directory", "đây không phải thư mục")

#: Subject and kernel's error: ``/run/clamd.sock: Connection refused``.
AT: Final = Sentence("{where}: {system_error}", "{where}: {system_error}")
#: The same as Python words an error nobody foresaw, which names its class, number and file.
RAISED_AT: Final = Sentence("{error}: [Errno {number}] {system_error}: {where}", "{where}: {system_error}")
RAISED: Final = Sentence("{error}: [Errno {number}] {system_error}", "{error}: {system_error}")

# Programs of the host.
PROGRAM_SLOW: Final = Sentence(
    "{program} did not end within {seconds} seconds", "{program} không kết thúc trong {seconds} giây"
)
PROGRAM_SLOW_RAISED: Final = Sentence(
    "TimeoutError: {program} did not end within {seconds} seconds",
    "{program} không kết thúc trong {seconds} giây",
)
PROGRAM_FAILED: Final = Sentence(
    "{program} ended with status {status}: {detail}", "{program} kết thúc với mã {status}: {detail}"
)
FILE_UNREADABLE: Final = Sentence("{path} cannot be read", "không đọc được {path}")

# A collector's run.
NO_REASON: Final = Sentence("no reason given", "không rõ lý do")
PART_NOT_STARTED: Final = Sentence(
    "the probe's part could not be started: {detail}", "không khởi động được phần này của đầu dò: {detail}"
)
PART_ENDED: Final = Sentence(
    "the probe's part ended (status {status}) and is started again: {detail}",
    "phần này của đầu dò đã dừng (mã {status}) và đang được khởi động lại: {detail}",
)
PART_TOO_LARGE: Final = Sentence(
    "the probe's part held {megabytes} MB of memory and is started again",
    "phần này của đầu dò chiếm {megabytes} MB bộ nhớ và đang được khởi động lại",
)
DOCUMENT_TOO_LARGE: Final = Sentence(
    "the document {document} cannot be sent, it is too large (limit {limit} KB compressed)",
    "không gửi được tài liệu {document} vì quá lớn (giới hạn {limit} KB sau khi nén)",
)
SNMP_NO_ANSWER: Final = Sentence("it does not answer SNMP", "không trả lời SNMP")
SNMP_REFUSED: Final = Sentence(
    "it refuses the SNMP credential: user, keys or their algorithms differ",
    "từ chối thông tin xác thực SNMP: người dùng, khóa hoặc thuật toán không khớp",
)
SNMP_FAILED: Final = Sentence("it cannot be asked over SNMP: {detail}", "không hỏi được qua SNMP: {detail}")
SNMP_NO_DEVICES: Final = Sentence(
    "no device is named in snmp.toml", "chưa khai báo thiết bị nào trong snmp.toml"
)
SNMP_TRAPS_OFF: Final = Sentence("traps are not listened for", "không bật nhận trap")
NO_INTERFACE: Final = Sentence(
    "there is no network interface that is up", "không có cổng mạng nào đang hoạt động"
)
INTERFACE_NOT_OPENED: Final = Sentence(
    "the interface {interface} cannot be looked at: {detail}",
    "không theo dõi được cổng mạng {interface}: {detail}",
)
NOT_A_NETWORK: Final = Sentence(
    "[traffic] expected: not an address or network: {detail}",
    "[traffic] expected: không phải địa chỉ hoặc dải mạng: {detail}",
)
NO_SOCKET: Final = Sentence("cannot listen at {path}: {detail}", "không lắng nghe được tại {path}: {detail}")
NO_EVE: Final = Sentence(
    "there is no EVE log of an intrusion detection system: {path}",
    "không có nhật ký EVE của hệ thống phát hiện xâm nhập: {path}",
)
HOST_KEY_CHANGED: Final = Sentence(
    "the device shows another host key, {shown}: nobody has signed in",
    "thiết bị đưa ra khóa máy chủ khác, {shown}: chưa đăng nhập",
)
HOST_KEY_UNKNOWN: Final = Sentence(
    "no host key is set for this device; it shows {shown}: compare it on the device, then put it into the settings",
    "chưa khai báo khóa máy chủ của thiết bị này; thiết bị đưa ra {shown}: "
    "hãy đối chiếu trên thiết bị rồi ghi vào cấu hình",
)
SIGN_IN_REFUSED: Final = Sentence("the device refused the account", "thiết bị từ chối tài khoản")
NO_SSH: Final = Sentence("no SSH session: {detail}", "không mở được phiên SSH: {detail}")
ANSWER_TOO_LONG: Final = Sentence(
    "the answer is longer than {limit} characters", "câu trả lời dài hơn {limit} ký tự"
)
HUNG_UP: Final = Sentence("the device ended the session", "thiết bị đã ngắt phiên")
NO_SECRET: Final = Sentence(
    "{detail}: the file with the secret cannot be used", "{detail}: không dùng được tệp bí mật"
)
NO_PLATFORM: Final = Sentence("there is no platform {detail}", "không có nền tảng {detail}")
SYSLOG_NOT_OPENED: Final = Sentence(
    "cannot listen for syslog: {detail}", "không mở được cổng nhận syslog: {detail}"
)
OVERRAN: Final = Sentence("no answer within {seconds} s", "không có kết quả trong {seconds} giây")
HANDED_BACK: Final = Sentence("it handed back a {kind}", "trả về kiểu dữ liệu sai: {kind}")
BREAKS_CONTRACT: Final = Sentence(
    "it handed back what the contract does not allow: {detail}", "trả về dữ liệu trái quy ước: {detail}"
)
ITEM_NOT_CLEAN: Final = Sentence(
    "a document's item holds a control character: {detail}", "tên mục có ký tự điều khiển: {detail}"
)
MEMORY_NOT_KEPT: Final = Sentence(
    "its memory cannot be kept: {detail}", "không lưu được trạng thái của bộ thu thập: {detail}"
)

# ClamAV.
ONLY_CLAMSCAN: Final = Sentence(
    "only clamscan is installed: nothing scans unless somebody asks for it",
    "chỉ cài clamscan: không có gì được quét nếu không ai chạy lệnh",
)
CLAMD_NO_SOCKET: Final = Sentence(
    "clamd is installed but not running: it has no socket",
    "clamd đã cài nhưng không chạy: không có socket",
)
CLAMD_SILENT: Final = Sentence(
    "clamd did not answer on {address} within {seconds} s",
    "clamd không trả lời tại {address} trong {seconds} giây",
)
CLAMD_WRONG_ANSWER: Final = Sentence(
    "{address}: answered PING with {answer}", "{address}: trả lời PING bằng {answer}"
)
CLAMD_NOT_ASKED: Final = Sentence("clamd may not be asked: {why}", "không được phép hỏi clamd: {why}")
CLAMONACC_OFF: Final = Sentence(
    "clamonacc is not running: files are scanned only when somebody asks for it",
    "clamonacc không chạy: tệp chỉ được quét khi có người yêu cầu",
)
CLAMONACC_ALONE: Final = Sentence(
    "clamonacc runs, but without an answering clamd it scans nothing",
    "clamonacc đang chạy, nhưng clamd không trả lời nên không quét gì",
)
CLAMONACC_UNCONFIGURED: Final = Sentence(
    "clamonacc runs, but clamd.conf was not found: what it watches is not known",
    "clamonacc đang chạy, nhưng không tìm thấy clamd.conf: không rõ đang giám sát thư mục nào",
)
CLAMONACC_WATCHES_NOTHING: Final = Sentence(
    "clamonacc runs, but clamd.conf names no OnAccessIncludePath or OnAccessMountPath",
    "clamonacc đang chạy, nhưng clamd.conf không có OnAccessIncludePath hay OnAccessMountPath",
)
SIGNATURE_DATE_UNTOLD: Final = Sentence(
    "clamd does not tell the date of its database", "clamd không cho biết ngày của mẫu nhận diện"
)
LAST_SCAN_UNTOLD: Final = Sentence(
    "clamd keeps no record of whole scans, and no log of clamscan was found",
    "clamd không ghi lại các lần quét toàn bộ, và không thấy nhật ký của clamscan",
)
NO_CLAMD_LOG: Final = Sentence(
    "no log of clamd or clamonacc (LogFile in clamd.conf)",
    "không có nhật ký của clamd hay clamonacc (LogFile trong clamd.conf)",
)

# Other antivirus products.
ONLY_RUNNING_KNOWN: Final = Sentence(
    "{product} runs; how to ask it whether it protects is not known",
    "{product} đang chạy; không có cách hỏi sản phẩm này có bảo vệ hay không",
)
PROCESSES_HIDDEN: Final = Sentence(
    "whether it runs is shown to root only", "chỉ root mới xem được phần mềm có đang chạy hay không"
)
ANSWER_NOT_KNOWN: Final = Sentence(
    "what {program} answers is of no known form", "câu trả lời của {program} có dạng chưa biết"
)
PRODUCT_NOT_WELL: Final = Sentence(
    "the product says that it is not well: {detail}", "phần mềm báo có sự cố: {detail}"
)
NO_SIGNATURES_LOADED: Final = Sentence(
    "the product has no signatures loaded", "phần mềm chưa nạp mẫu nhận diện"
)
NOT_TOLD: Final = Sentence("the product does not tell", "phần mềm không cho biết")

# The packet filter.
NO_RULE_SET: Final = Sentence(
    "no rule set filters what comes in", "không có bộ luật nào lọc lưu lượng đi vào"
)
LETS_EVERYTHING_IN: Final = Sentence("the rule set lets everything in", "bộ luật cho mọi lưu lượng đi vào")
REFUSES_SOME: Final = Sentence(
    "some packets are refused, all others are let in", "chỉ chặn một số gói tin, còn lại đều cho vào"
)
RULES_NEED_ROOT: Final = Sentence(
    "{program}: reading the rule set needs root (CAP_NET_ADMIN)",
    "{program}: cần quyền root (CAP_NET_ADMIN) để đọc bộ luật",
)
NFT_NOT_JSON: Final = Sentence(
    "nft wrote no JSON that can be read: {detail}", "nft không xuất JSON đọc được: {detail}"
)
NFT_NO_LIST: Final = Sentence(
    "nft wrote JSON without a list 'nftables'", "JSON của nft không có danh sách 'nftables'"
)
NO_IPTABLES_SAVE: Final = Sentence(
    "the kernel holds iptables rules, but no iptables-save is installed to read them",
    "nhân hệ điều hành có luật iptables, nhưng chưa cài iptables-save để đọc",
)
NO_FIREWALL_PROGRAM: Final = Sentence(
    "neither nft nor iptables-save is installed: the rule set cannot be read",
    "chưa cài nft hay iptables-save: không đọc được bộ luật",
)

# What the machine is.
NO_DMI: Final = Sentence(
    "this machine has no DMI tables (no /sys/class/dmi/id)",
    "máy này không có bảng DMI (không có /sys/class/dmi/id)",
)
DMI_NO_FIELD: Final = Sentence("the firmware has no such field", "phần sụn không có trường này")
DMI_ROOT_ONLY: Final = Sentence("readable by root only", "chỉ root đọc được")
DMI_PLACEHOLDER: Final = Sentence(
    "the maker left a placeholder: {value}", "nhà sản xuất để giá trị mẫu: {value}"
)
DMI_EMPTY: Final = Sentence("empty in the firmware", "để trống trong phần sụn")
ROLE_BY_CHASSIS: Final = Sentence("by its chassis", "theo kiểu vỏ máy")
ROLE_BY_VARIANT: Final = Sentence("by the system's variant", "theo phiên bản của hệ điều hành")
ROLE_BY_DESKTOP: Final = Sentence("it has a graphical desktop", "có giao diện đồ họa")
ROLE_UNKNOWN: Final = Sentence(
    "neither the chassis nor the system says what it is for",
    "vỏ máy và hệ điều hành đều không cho biết máy dùng làm gì",
)

# Software and updates.
NO_PACKAGES: Final = Sentence(
    "neither a dpkg nor an rpm database is here", "không có cơ sở dữ liệu dpkg hay rpm"
)
NO_RPM: Final = Sentence(
    "there is an rpm database, but no rpm program to read it",
    "có cơ sở dữ liệu rpm, nhưng không có chương trình rpm để đọc",
)
NO_UPDATER: Final = Sentence("neither apt nor dnf is here", "không có apt hay dnf")
NOT_INSTALLED: Final = Sentence("{program} is not installed", "chưa cài {program}")
NO_LISTS: Final = Sentence(
    "package lists were never fetched (apt-get update has not run)",
    "chưa tải danh sách gói lần nào (chưa chạy apt-get update)",
)

# The network.
NO_ROUTE: Final = Sentence("there is no default route", "không có tuyến mặc định")
NO_ECHO: Final = Sentence(
    "the gateway answers no echo requests", "cổng mặc định không trả lời ping (ICMP echo)"
)
PING_NEEDS_ROOT: Final = Sentence(
    "echo requests need root (CAP_NET_RAW) or a group in net.ipv4.ping_group_range",
    "ping cần quyền root (CAP_NET_RAW) hoặc nhóm trong net.ipv4.ping_group_range",
)
NO_NAME_SERVER: Final = Sentence("no name server is set", "chưa đặt máy chủ tên miền (DNS)")
NOT_ENROLLED: Final = Sentence("not enrolled", "máy chưa đăng ký")

# Logs, processes, volumes.
NO_JOURNAL: Final = Sentence(
    "no journal files under /run/log/journal or /var/log/journal: journald does not run here",
    "không có tệp journal ở /run/log/journal hay /var/log/journal: journald không chạy ở đây",
)
NO_JOURNAL_LIBRARY: Final = Sentence(
    "there is a journal, but {library} is not installed", "có journal, nhưng chưa cài {library}"
)
JOURNAL_INSTEAD: Final = Sentence(
    "the journal is read instead, it has the same messages and knows who sent them",
    "đã đọc journal thay thế: có cùng nội dung và biết ai gửi",
)
NO_AUTH_LOG: Final = Sentence(
    "none of {paths} exists (is rsyslog installed?)",
    "không có tệp nào trong số {paths} (đã cài rsyslog chưa?)",
)
CONNECTOR: Final = Sentence(
    "the kernel's process connector: {why}", "kênh báo tiến trình của nhân (process connector): {why}"
)
CONNECTOR_SILENT: Final = Sentence(
    "the kernel's process connector is silent (not the first process namespace?)",
    "kênh báo tiến trình của nhân (process connector) im lặng (máy là container?)",
)
NO_INOTIFY: Final = Sentence(
    "files are compared every five minutes only, the kernel does not tell of changes: {system_error}",
    "chỉ so sánh tệp năm phút một lần, nhân hệ điều hành không báo thay đổi: {system_error}",
)
FOLDER_HIDDEN: Final = Sentence(
    "it may not be looked into, so nothing in it is watched: {where}: {system_error}",
    "không được phép xem nên không giám sát được: {where}: {system_error}",
)
FOLDER_NOT_WATCHED: Final = Sentence(
    "compared every five minutes only, the kernel does not tell of changes there: {where}: {system_error}",
    "chỉ so sánh năm phút một lần, nhân hệ điều hành không báo thay đổi tại đó: {where}: {system_error}",
)
NOTHING_READABLE: Final = Sentence("nothing of {path} can be read", "không đọc được gì trong {path}")
TABLE_CUT: Final = Sentence(
    "there are more than the {number} listed here", "còn nhiều hơn {number} mục được liệt kê ở đây"
)
NO_VOLUME: Final = Sentence(
    "no local volume is mounted (a container sees none)",
    "không có ổ đĩa cục bộ nào được gắn (container không thấy ổ đĩa)",
)

# Configuration assessment.
OTHER_HOST: Final = Sentence(
    "{program} would speak of another machine: the host's trees are mounted elsewhere",
    "{program} sẽ nói về máy khác: cây thư mục của máy được gắn ở nơi khác",
)
TOO_LARGE: Final = Sentence("{path} is larger than {size} KB", "{path} lớn hơn {size} KB")
TOO_MANY_FIT: Final = Sentence(
    "more than {number} files fit {pattern}", "hơn {number} tệp khớp với {pattern}"
)
TOO_MANY_INCLUDED: Final = Sentence(
    "{path} includes more files, or deeper, than are followed",
    "{path} nạp nhiều tệp hoặc nhiều tầng hơn mức được đọc theo",
)
NO_SYSTEM_NAME: Final = Sentence(
    "os-release does not tell which system this is", "os-release không cho biết đây là hệ điều hành nào"
)
NO_RPM_IN_RPM: Final = Sentence(
    "rpm does not find itself in its database", "rpm không tìm thấy chính nó trong cơ sở dữ liệu"
)
NOT_ANSWERED_FOR: Final = Sentence(
    "{program} says nothing of {subject}", "{program} không cho biết gì về {subject}"
)
NO_SYSTEMD: Final = Sentence("systemd does not run here", "systemd không chạy ở đây")
NO_REGISTRY: Final = Sentence("there is no registry here", "ở đây không có registry")
KEY_DENIED: Final = Sentence("{key} may not be read", "không được phép đọc {key}")
VALUE_BINARY: Final = Sentence(
    "{value} holds bytes where text or a number was expected",
    "{value} chứa dữ liệu nhị phân thay vì chữ hoặc số",
)
NO_SUBCATEGORY: Final = Sentence(
    "the audit policy does not name subcategory {guid}", "chính sách kiểm toán không có tiểu mục {guid}"
)
WROTE_NO_POLICY: Final = Sentence(
    "{program} wrote no policy (status {status})", "{program} không ghi ra chính sách nào (mã {status})"
)
OTHER_ROLE: Final = Sentence("it is for machines of another role", "mục này dành cho máy có vai trò khác")
OTHER_SYSTEM: Final = Sentence("it is for another system", "mục này dành cho hệ điều hành khác")
NOTHING_TO_CHECK: Final = Sentence("what it is about is not here", "máy không có thứ mà mục này kiểm tra")

# Windows.
NO_SMBIOS: Final = Sentence("the firmware hands out no SMBIOS tables", "phần sụn không cung cấp bảng SMBIOS")
WMI_SILENT: Final = Sentence("WMI does not answer: {detail}", "WMI không trả lời: {detail}")
FIREWALL_OF_ANOTHER: Final = Sentence(
    "{product} filters instead of Windows", "{product} lọc lưu lượng thay cho Windows"
)
FIREWALL_SERVICE_DISABLED: Final = Sentence(
    "the service of Windows' firewall is disabled", "dịch vụ tường lửa của Windows bị vô hiệu hóa"
)
FIREWALL_PROFILES_OFF: Final = Sentence(
    "off for these kinds of network: {profiles}", "đang tắt với loại mạng: {profiles}"
)
FIREWALL_PROFILES_UNKNOWN: Final = Sentence(
    "the registry does not say it for these kinds of network: {profiles}",
    "registry không cho biết với loại mạng: {profiles}",
)
DEFENDER_PASSIVE: Final = Sentence(
    "Defender only watches beside another antivirus ({mode})",
    "Defender chỉ chạy thụ động bên cạnh phần mềm khác ({mode})",
)
SIGNATURES_NEVER_FETCHED: Final = Sentence(
    "signatures were never fetched, or their date is not kept",
    "chưa tải mẫu nhận diện, hoặc không lưu ngày tải",
)
STALE_ROW: Final = Sentence(
    "Security Center still lists it, but its program is gone",
    "Security Center vẫn liệt kê, nhưng chương trình không còn",
)
SECURITY_CENTER_TELLS_NO_SCAN: Final = Sentence(
    "Security Center does not tell of scans", "Security Center không cho biết các lần quét"
)
PRODUCT_STATE_UNKNOWN: Final = Sentence(
    "Security Center gives a state that is not known", "Security Center đưa ra trạng thái không rõ"
)
PRODUCT_SNOOZED: Final = Sentence("paused by somebody", "bị tạm dừng")
PRODUCT_EXPIRED: Final = Sentence("its licence has ended", "giấy phép đã hết hạn")
SIGNATURE_DATE_UNTOLD_BY_PRODUCT: Final = Sentence(
    "the product does not tell the date of its signatures", "phần mềm không cho biết ngày của mẫu nhận diện"
)
SIGNATURES_SAID_CURRENT: Final = Sentence(
    "the product calls its signatures current, but does not tell their date",
    "phần mềm báo mẫu nhận diện còn mới, nhưng không cho biết ngày",
)
SIGNATURES_SAID_OLD: Final = Sentence(
    "the product calls its signatures out of date, but does not tell their date",
    "phần mềm báo mẫu nhận diện đã cũ, nhưng không cho biết ngày",
)
NOT_IN_SECURITY_CENTER: Final = Sentence(
    "its service runs, but Security Center does not list it",
    "dịch vụ đang chạy, nhưng Security Center không liệt kê",
)
ONLY_THE_SERVICE_IS_KNOWN: Final = Sentence(
    "only that its service runs can be known here", "ở đây chỉ biết được dịch vụ đang chạy"
)
UPDATES_NOT_SEARCHED: Final = Sentence(
    "Windows Update could not be asked: {detail}", "không hỏi được Windows Update: {detail}"
)
ONLY_IPV4_ASKED: Final = Sentence(
    "on Windows only an IPv4 gateway is asked", "trên Windows chỉ kiểm tra cổng mặc định IPv4"
)
NO_BITLOCKER: Final = Sentence(
    "this edition of Windows has no BitLocker", "phiên bản Windows này không có BitLocker"
)
VOLUME_LOCKED: Final = Sentence("the volume is locked", "ổ đĩa đang khóa")
PROTECTION_SUSPENDED: Final = Sentence(
    "encrypted, but protection is suspended: the key lies open on the disk",
    "đã mã hóa nhưng đang tạm ngưng bảo vệ: khóa nằm lộ trên đĩa",
)
NO_EVENT_CHANNEL: Final = Sentence(
    "none of the event log's channels can be read: {detail}",
    "không đọc được kênh nào của nhật ký sự kiện: {detail}",
)

# Settings from the collector.
SETTINGS_UNSIGNED: Final = Sentence(
    "the settings are not signed by the collector that this machine enrolled with",
    "cấu hình không có chữ ký của máy chủ mà máy này đã đăng ký",
)
SETTINGS_FOREIGN: Final = Sentence("the settings are for another machine", "cấu hình dành cho máy khác")
# Why the agent's key is in a file, and not sealed to the TPM.
KEY_OFF: Final = Sentence('the settings say tpm = "off"', 'cấu hình ghi tpm = "off"')
KEY_NO_TPM: Final = Sentence("no TPM 2.0 to be seen", "không thấy TPM 2.0")
KEY_TPM_DENIED: Final = Sentence("the agent may not use the TPM", "tác tử không có quyền dùng TPM")
KEY_TPM_LOCKED: Final = Sentence("the TPM is locked by its owner", "TPM đang bị chủ của nó khóa")
KEY_TPM_FAILED: Final = Sentence("the TPM did not seal the key", "TPM không niêm phong được khóa")
SETTINGS_UNREADABLE: Final = Sentence(
    "the settings cannot be read: {detail}", "không đọc được cấu hình: {detail}"
)
SETTINGS_OLD: Final = Sentence(
    "settings {number} are older than {taken}, which were here already",
    "cấu hình số {number} cũ hơn số {taken} đã có",
)
SETTINGS_AHEAD: Final = Sentence(
    "settings {number} are too far ahead of {taken}, the last that were here",
    "cấu hình số {number} vượt quá xa số {taken} đã có gần nhất",
)
SETTINGS_EXPIRED: Final = Sentence(
    "the settings' time to be taken is over or has not begun", "cấu hình đã quá hạn nhận hoặc chưa đến hạn"
)
SETTINGS_INTERVAL: Final = Sentence(
    "the interval of {name} must be from {least} to {most} seconds on this machine",
    "trên máy này, chu kỳ của {name} phải từ {least} đến {most} giây",
)
SETTINGS_NO_ANSWER: Final = Sentence(
    "with the new settings no answer of the collector came within {seconds} seconds",
    "với cấu hình mới, không nhận được trả lời của máy chủ trong {seconds} giây",
)
SETTINGS_ENDED: Final = Sentence(
    "the agent ended {times} times unexpectedly with the new settings",
    "chương trình kết thúc bất thường {times} lần với cấu hình mới",
)

# The agent's own appetite.
TOO_MUCH_MEMORY: Final = Sentence(
    "the agent started itself anew: it held {megabytes} MB of memory for minutes (limit {limit} MB)",
    "chương trình tự khởi động lại: giữ {megabytes} MB bộ nhớ trong nhiều phút (giới hạn {limit} MB)",
)
TOO_MUCH_CPU: Final = Sentence(
    "the agent started itself anew: it took {percent} % of a processor core for a quarter of an hour (limit {limit} %)",
    "chương trình tự khởi động lại: dùng {percent} % một nhân bộ xử lý trong mười lăm phút (giới hạn {limit} %)",
)

# Simulated machines.
NO_ANTIVIRUS: Final = Sentence("no antivirus is installed", "chưa cài phần mềm diệt virus")
PRODUCT_SILENT: Final = Sentence("the product does not answer", "phần mềm không trả lời")
SERVICE_STOPPED: Final = Sentence("the service is stopped", "dịch vụ đã dừng")
TURNED_OFF: Final = Sentence("turned off", "đã tắt")

# Links and services, as the probe tells of them.
LINK_NO_ANSWER: Final = Sentence("nothing answers at the other end", "đầu bên kia không trả lời")
LINK_DEGRADED: Final = Sentence("answers are lost or slow", "trả lời bị mất hoặc chậm")
SERVICE_NO_ADDRESS: Final = Sentence(
    "the name {where} has no address here", "tại đây không phân giải được tên {where}"
)
SERVICE_NOT_ALLOWED: Final = Sentence(
    "{where} leads to {address}, which may not be probed",
    "{where} trỏ tới {address}, là nơi không được phép dò",
)
SERVICE_NO_CONNECTION: Final = Sentence(
    "no connection to {where}: {detail}", "không kết nối được tới {where}: {detail}"
)
SERVICE_NO_NETWORK: Final = Sentence(
    "this probe has no way to the network itself", "chính đầu dò này không có đường ra mạng"
)
SERVICE_SLOW: Final = Sentence("not finished within {seconds} s", "không xong trong {seconds} giây")
SERVICE_TLS: Final = Sentence(
    "no TLS with {where}: {detail}", "không thiết lập được TLS với {where}: {detail}"
)
SERVICE_CERTIFICATE: Final = Sentence(
    "its certificate is not good: {detail}", "chứng thư số không hợp lệ: {detail}"
)
SERVICE_NOT_HTTP: Final = Sentence(
    "the answer is not HTTP: {detail}", "câu trả lời không phải HTTP: {detail}"
)
SERVICE_NOT_JUDGED: Final = Sentence(
    "the service {service} cannot be judged: {detail}", "không đánh giá được dịch vụ {service}: {detail}"
)
SERVICE_STATUS: Final = Sentence("it answers with status {status}", "trả về mã {status}")
SERVICE_CONTENT: Final = Sentence(
    "the page does not contain what it has to", "trang không chứa nội dung bắt buộc phải có"
)
SERVICE_REDIRECTED: Final = Sentence(
    "it leads to {where}, which is not one of its hosts",
    "chuyển hướng sang {where}, không thuộc các máy chủ của dịch vụ",
)
SERVICE_REDIRECTS: Final = Sentence("it leads on and on", "chuyển hướng quá nhiều lần")
SERVICE_GREETING: Final = Sentence("it greets with: {detail}", "lời chào nhận được: {detail}")
SERVICE_NO_STARTTLS: Final = Sentence("it offers no STARTTLS", "không hỗ trợ STARTTLS")
DNS_NO_ANSWER: Final = Sentence(
    "the name server {where} does not answer", "máy chủ tên miền {where} không trả lời"
)
DNS_REFUSES: Final = Sentence(
    "the name server {where} answers with {detail}", "máy chủ tên miền {where} trả về {detail}"
)
DNS_OTHER: Final = Sentence("other answers than expected: {detail}", "câu trả lời khác dự kiến: {detail}")

ALL: Final[tuple[Sentence, ...]] = tuple(
    each for each in globals().copy().values() if isinstance(each, Sentence)
)


def at(where: object, error: OSError) -> str:
    """What the kernel refused, and where."""
    return AT(where=where, system_error=error.strerror or error)


def translate(text: str, lang: Lang) -> str:
    """``text``, a reason as an agent sent it, in ``lang``; as it is where it is no sentence of this table.

    ``text`` and so the answer may be hostile: escape it where it is shown.
    """
    if lang == "en" or not text or len(text) > LONGEST:
        return text
    whole = _vietnamese(text)
    if whole is not None:
        return whole
    parts = text.split("; ")  # several addresses, each with its own trouble
    return "; ".join(_vietnamese(part) or part for part in parts)


def _vietnamese(text: str) -> str | None:
    for sentence, pattern in _patterns():
        match = pattern.fullmatch(text)
        values = None if match is None else _values(match)
        if values is not None:
            return sentence.vi.format(**values)
    return None


def _values(match: re.Match[str]) -> dict[str, str] | None:
    """What stands in the sentence, translated where it is a sentence itself; None where it should be and is not."""
    values = match.groupdict()
    if "system_error" in values:
        known = _system_errors().get(values["system_error"])
        if known is None:
            return None
        values["system_error"] = known
    if "why" in values:
        values["why"] = "; ".join(_vietnamese(part) or part for part in values["why"].split("; "))
    return values


@cache
def _system_errors() -> dict[str, str]:
    return {each.en: each.vi for each in ALL if not _PARAMETER.search(each.en)}


@cache
def _patterns() -> tuple[tuple[Sentence, re.Pattern[str]], ...]:
    """The most telling first: those with the most letters of their own."""
    ordered = sorted(ALL, key=lambda each: -len(_PARAMETER.sub("", each.en)))
    return tuple((each, _pattern(each.en)) for each in ordered)


def _pattern(template: str) -> re.Pattern[str]:
    out, end = [], 0
    for found in _PARAMETER.finditer(template):
        out.append(re.escape(template[end : found.start()]))
        # What begins a sentence may not reach back into the one before it.
        out.append(rf"(?P<{found[1]}>{'(?:(?!; ).)+?' if found[1] in _SUBJECTS else '.+?'})")
        end = found.end()
    return re.compile("".join(out) + re.escape(template[end:]), re.DOTALL)
