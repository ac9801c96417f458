"""The sentences of the reports, in both languages side by side.

They are not gettext messages: a sentence of an official document is agreed on as a whole, with its
legal wording,
and a clerk must be able to read all of them here. A test sees to it that both languages say as much.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

SENTENCES: Final[Mapping[str, Mapping[str, str]]] = {
    "country": {"vi": "CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM", "en": "THE SOCIALIST REPUBLIC OF VIET NAM"},
    "motto": {"vi": "Độc lập - Tự do - Hạnh phúc", "en": "Independence - Freedom - Happiness"},
    "number": {"vi": "Số: {number}/{symbol}", "en": "No.: {number}/{symbol}"},
    "place_and_date": {
        "vi": "{place}, ngày {day} tháng {month} năm {year}",
        "en": "{place}, {day}/{month}/{year}",
    },
    "kind": {"vi": "BÁO CÁO", "en": "REPORT"},
    "subject": {
        "vi": "Tỷ lệ máy tính được bảo vệ bằng phần mềm phòng, chống mã độc",
        "en": "Share of computers protected by anti-malware software",
    },
    "subject_all": {"vi": "tại các cơ quan, đơn vị", "en": "in all agencies"},
    "subject_agency": {"vi": "tại {agency}", "en": "in {agency}"},
    "cut_off": {
        "vi": "(thời gian chốt số liệu: {time}, giờ Việt Nam)",
        "en": "(cut-off: {time}, Viet Nam time)",
    },
    "banner": {
        "vi": "SỐ LIỆU CÓ {count} MÁY MÔ PHỎNG - KHÔNG DÙNG LÀM SỐ LIỆU CHÍNH THỨC",
        "en": "FIGURES INCLUDE {count} SIMULATED MACHINES - NOT FOR OFFICIAL USE",
    },
    # 1
    "result": {"vi": "1. Kết quả", "en": "1. Result"},
    "result_sentence": {
        "vi": "{scope} có {known} máy đã biết (mẫu số), trong đó {protected} máy đang được bảo vệ (tử số), "
        "đạt tỷ lệ {percent}. {rest} máy còn lại được phân theo trạng thái dưới đây; tên từng máy nêu "
        "tại {list}.",
        "en": "{scope}: {known} known machines (the denominator), of which {protected} are protected (the "
        "numerator): {percent}. The other {rest} are divided by state below; each is named in {list}.",
    },
    "result_nothing": {
        "vi": "{scope} chưa có máy nào được biết, nên không tính được tỷ lệ. Không có số liệu không có nghĩa "
        "là đạt.",
        "en": "{scope}: no machine is known, so there is no percentage. No data does not mean compliant.",
    },
    "scope_all": {
        "vi": "{count} cơ quan, đơn vị trong phạm vi báo cáo",
        "en": "The {count} agencies in scope",
    },
    "state": {"vi": "Trạng thái", "en": "State"},
    "meaning": {"vi": "Được hiểu là", "en": "Meaning"},
    "machines": {"vi": "Số máy", "en": "Machines"},
    "share": {"vi": "Tỷ lệ", "en": "Share"},
    "total": {"vi": "Cộng (mẫu số)", "en": "Total (denominator)"},
    "no_agency": {"vi": "Chưa gán cơ quan", "en": "No agency assigned"},
    # 2
    "denominator": {"vi": "2. Cách xác định mẫu số", "en": "2. How the denominator is made"},
    "denominator_sentence": {
        "vi": "Mẫu số gồm mọi máy đã cài phần mềm giám sát (tác tử) và mọi thiết bị khác được thấy trên mạng "
        "nội bộ của cơ quan trong {days} ngày gần nhất. Mỗi máy ở đúng một trạng thái. Máy chưa xác "
        "định được tình trạng, máy mất kết nối và thiết bị chưa được quản lý vẫn nằm trong mẫu số và "
        "không được tính là đạt.",
        "en": "The denominator holds every machine with an enrolled agent and every other device seen on an "
        "agency's LAN in the last {days} days. Each machine is in exactly one state. Machines whose "
        "state is unknown, silent machines and unmanaged devices stay in the denominator and never "
        "count as compliant.",
    },
    "excluded_sentence": {
        "vi": "Không tính vào mẫu số: {network} thiết bị mạng (cổng kết nối), có nêu trong danh sách; "
        "{retired} máy đã ngừng sử dụng; {simulated} máy mô phỏng dùng để thử hệ thống.",
        "en": "Not in the denominator: {network} pieces of network equipment (gateways), shown in the list; "
        "{retired} retired machines; {simulated} simulated machines used to try the system.",
    },
    "excluded_sentence_simulated": {
        "vi": "Không tính vào mẫu số: {network} thiết bị mạng (cổng kết nối), có nêu trong danh sách; "
        "{retired} máy đã ngừng sử dụng. {simulated} máy mô phỏng ĐƯỢC tính theo yêu cầu của người lập "
        "báo cáo.",
        "en": "Not in the denominator: {network} pieces of network equipment (gateways), shown in the list; "
        "{retired} retired machines. {simulated} simulated machines ARE counted, as the report's maker "
        "asked.",
    },
    "rounding": {
        "vi": "Tỷ lệ làm tròn đến một chữ số thập phân; chỉ ghi 100% khi tử số bằng mẫu số.",
        "en": "Percentages are rounded to one decimal; 100 % is written only where both numbers are equal.",
    },
    # 3
    "officials": {
        "vi": "3. Đối chiếu với số cán bộ, công chức",
        "en": "3. Compared with the declared number of officials",
    },
    "officials_sentence": {
        "vi": "Số cán bộ, công chức đã khai báo: {officials} người. Số máy đã biết bằng {known_share} và số "
        "máy được bảo vệ bằng {protected_share} số cán bộ, công chức.",
        "en": "Declared officials: {officials}. Known machines are {known_share} and protected machines "
        "{protected_share} of that number.",
    },
    "officials_gap": {
        "vi": "Số máy đã biết ít hơn số cán bộ, công chức {gap}: có thể còn máy mà hệ thống chưa thấy.",
        "en": "Known machines are {gap} fewer than officials: there may be machines that the system has not "
        "seen.",
    },
    "officials_none": {
        "vi": "Chưa có số cán bộ, công chức khai báo để đối chiếu.",
        "en": "No number of officials is declared to compare with.",
    },
    "officials_missing": {
        "vi": "{count} cơ quan, đơn vị chưa khai báo số cán bộ, công chức và không được cộng vào số trên.",
        "en": "{count} agencies have not declared their officials and are not in that number.",
    },
    # 4
    "target": {"vi": "4. Đối chiếu với chỉ tiêu của kế hoạch", "en": "4. Compared with the plan's target"},
    "target_quote": {"vi": "“{quote}” ({source}; mã {id}).", "en": "“{quote}” ({source}; {id})."},
    "target_readings": {
        "vi": "Chỉ tiêu có thể hiểu theo hai cách, báo cáo nêu cả hai:",
        "en": "The target can be read in two ways; both are given:",
    },
    "reading_agencies": {
        "vi": "a) Theo cơ quan: {count}/{agencies} cơ quan, đơn vị có ít nhất một máy được bảo vệ, đạt "
        "{percent}; {empty} cơ quan, đơn vị chưa có máy nào được biết.",
        "en": "a) By agency: {count} of {agencies} agencies have at least one protected machine: {percent}; "
        "in {empty} agencies no machine is known.",
    },
    "reading_machines": {
        "vi": "b) Theo máy: {protected}/{known} máy đã biết được bảo vệ, đạt {percent}; "
        "{complete}/{agencies} cơ quan, đơn vị có toàn bộ máy đã biết được bảo vệ.",
        "en": "b) By machine: {protected} of {known} known machines are protected: {percent}; in {complete} "
        "of {agencies} agencies every known machine is.",
    },
    "target_caveat": {
        "vi": "Số liệu ghi nhận phần mềm thực sự chạy trên máy. Bản quyền và việc quản lý tập trung chưa "
        "được đối chiếu, nên các tỷ lệ trên chưa đủ để kết luận là đạt chỉ tiêu.",
        "en": "The figures show software that really runs. Licences and central management are not yet "
        "checked, so these percentages alone do not prove that the target is met.",
    },
    # 5
    "national": {"vi": "5. Tuổi của mẫu nhận diện mã độc", "en": "5. Age of signatures"},
    "national_sentence": {
        "vi": "Máy quá {days} ngày chưa cập nhật mẫu nhận diện (mức dùng trong báo cáo quốc gia): {count} "
        "máy. Máy quá {local} ngày (mức chặt hơn của hệ thống): {late} máy; các máy này được cảnh báo, "
        "nhưng chỉ mức {days} ngày quyết định trạng thái “{outdated}”.",
        "en": "Machines without a signature update for more than {days} days (the national reporting limit): "
        "{count}. For more than {local} days (the stricter local limit): {late}; these are warned "
        "about, but only the limit of {days} days decides “{outdated}”.",
    },
    "end": {
        "vi": "Trên đây là báo cáo tỷ lệ máy tính được bảo vệ; danh sách từng máy kèm theo./.",
        "en": "The list of machines is attached.",
    },
    # foot
    "recipients_title": {"vi": "Nơi nhận:", "en": "To:"},
    "archive": {"vi": "Lưu: VT.", "en": "File."},
    # appendices
    "appendix": {"vi": "Phụ lục {roman}", "en": "Appendix {roman}"},
    "appendix_reference": {
        "vi": "(Kèm theo Báo cáo số {number}/{symbol} ngày {day} tháng {month} năm {year})",
        "en": "(to report No. {number}/{symbol} of {day}/{month}/{year})",
    },
    "by_agency": {"vi": "KẾT QUẢ THEO TỪNG CƠ QUAN, ĐƠN VỊ", "en": "RESULT BY AGENCY"},
    "list": {"vi": "DANH SÁCH TỪNG MÁY", "en": "LIST OF MACHINES"},
    "list_empty": {"vi": "Không có máy nào.", "en": "There are none."},
    "col_order": {"vi": "TT", "en": "No."},
    "col_agency": {"vi": "Cơ quan, đơn vị", "en": "Agency"},
    "col_code": {"vi": "Mã", "en": "Code"},
    "col_officials": {"vi": "CBCC", "en": "Officials"},
    "col_known": {"vi": "Đã biết", "en": "Known"},
    "col_percent_known": {"vi": "% đã biết", "en": "% of known"},
    "col_percent_officials": {"vi": "% CBCC", "en": "% of officials"},
    "col_name": {"vi": "Tên máy", "en": "Machine"},
    "col_reason": {"vi": "Lý do", "en": "Reason"},
    "col_product": {"vi": "Phần mềm", "en": "Software"},
    "col_signatures": {"vi": "Ngày mẫu nhận diện", "en": "Signatures of"},
    "col_age": {"vi": "Số ngày", "en": "Age, days"},
    "col_last_seen": {"vi": "Kết nối gần nhất", "en": "Last seen"},
    "col_counted": {"vi": "Tính vào mẫu số", "en": "Counted"},
    "col_kind": {"vi": "Loại", "en": "Kind"},
    "col_simulated": {"vi": "Mô phỏng", "en": "Simulated"},
    "col_evidence": {"vi": "Căn cứ", "en": "Evidence"},
    "col_state_code": {"vi": "Mã trạng thái", "en": "State code"},
    "abbreviations": {
        "vi": "CBCC: số cán bộ, công chức đã khai báo. Dấu — : không có số liệu để tính.",
        "en": "Officials: as declared. A dash: nothing to compute from.",
    },
    "simulated_mark": {"vi": "{name} (mô phỏng)", "en": "{name} (simulated)"},
    "not_counted_mark": {"vi": "{state} (không tính)", "en": "{state} (not counted)"},
    "network_equipment": {"vi": "Thiết bị mạng", "en": "Network equipment"},
    "yes": {"vi": "có", "en": "yes"},
    "no": {"vi": "không", "en": "no"},
    "kind_endpoint": {"vi": "máy đã cài tác tử", "en": "enrolled endpoint"},
    "kind_device": {"vi": "thiết bị thấy trên mạng", "en": "device seen on the LAN"},
    # states
    "state_protected": {"vi": "Được bảo vệ", "en": "Protected"},
    "state_outdated": {"vi": "Mẫu nhận diện quá hạn", "en": "Outdated"},
    "state_off": {"vi": "Phần mềm đang tắt", "en": "Off"},
    "state_none": {"vi": "Chưa cài đặt", "en": "None"},
    "state_silent": {"vi": "Mất kết nối", "en": "Silent"},
    "state_unmanaged": {"vi": "Chưa được quản lý", "en": "Unmanaged"},
    "state_unknown": {"vi": "Chưa xác định", "en": "Unknown"},
    "means_protected": {
        "vi": "phần mềm đang chạy, mẫu nhận diện không quá {days} ngày",
        "en": "the software runs; signatures at most {days} days old",
    },
    "means_outdated": {
        "vi": "phần mềm đang chạy, mẫu nhận diện quá {days} ngày",
        "en": "the software runs; signatures more than {days} days old",
    },
    "means_off": {"vi": "đã cài phần mềm nhưng không chạy", "en": "installed, but it does not run"},
    "means_none": {"vi": "không có phần mềm phòng, chống mã độc", "en": "no anti-malware software"},
    "means_silent": {
        "vi": "tác tử không liên lạc quá {silent}",
        "en": "the agent has not been heard for more than {silent}",
    },
    "means_unmanaged": {
        "vi": "thiết bị thấy trên mạng nội bộ, chưa cài tác tử",
        "en": "a device seen on the LAN without an agent",
    },
    "means_unknown": {
        "vi": "không đọc được tình trạng; không tính là đạt",
        "en": "its state could not be read; never counted as compliant",
    },
    # reasons (collector.coverage.models.REASONS)
    "reason_signatures_current": {
        "vi": "mẫu nhận diện {days} ngày tuổi",
        "en": "signatures are {days} days old",
    },
    "reason_signatures_old": {
        "vi": "mẫu nhận diện {days} ngày tuổi, mức cho phép {limit} ngày",
        "en": "signatures are {days} days old, {limit} are allowed",
    },
    "reason_antivirus_off": {"vi": "{product} không chạy", "en": "{product} does not run"},
    "reason_antivirus_not_installed": {
        "vi": "không tìm thấy phần mềm phòng, chống mã độc",
        "en": "no anti-malware software found",
    },
    "reason_not_heard_from": {"vi": "không liên lạc đã {span}", "en": "not heard from for {span}"},
    "reason_never_reported": {
        "vi": "đã đăng ký {span} nhưng chưa từng gửi dữ liệu",
        "en": "enrolled {span} ago and never reported",
    },
    "reason_no_agent": {
        "vi": "chưa cài tác tử; MAC {mac}, thấy từ máy {seen_by}",
        "en": "no agent; MAC {mac}, seen by {seen_by}",
    },
    "reason_gateway": {
        "vi": "cổng kết nối của mạng nội bộ; MAC {mac}, thấy từ máy {seen_by}",
        "en": "the LAN's gateway; MAC {mac}, seen by {seen_by}",
    },
    "reason_retired_but_seen": {
        "vi": "máy {hostname} đã ngừng sử dụng nhưng vẫn thấy trên mạng; MAC {mac}",
        "en": "{hostname} was retired but is still seen on the LAN; MAC {mac}",
    },
    "reason_waiting_for_first_report": {
        "vi": "mới đăng ký, đang chờ báo cáo đầu tiên",
        "en": "just enrolled, its first report is awaited",
    },
    "reason_copy_not_confirmed": {
        "vi": "dùng bản sao khóa của máy {hostname}, chưa có người xác nhận",
        "en": "came with a copy of the key of {hostname}, not confirmed yet",
    },
    "reason_copy_of_another": {
        "vi": "dùng bản sao khóa của một máy khác, chưa có người xác nhận",
        "en": "came with a copy of another machine's key, not confirmed yet",
    },
    "reason_no_antivirus_report": {
        "vi": "tác tử chưa gửi tình trạng phần mềm phòng, chống mã độc",
        "en": "the agent has not reported on anti-malware software",
    },
    "reason_antivirus_unknown": {
        "vi": "không đọc được tình trạng của {product}: {detail}",
        "en": "the state of {product} could not be read: {detail}",
    },
    "reason_signature_age_unknown": {
        "vi": "{product} không cho biết ngày của mẫu nhận diện",
        "en": "{product} does not tell the date of its signatures",
    },
    "reason_signatures_said_old": {
        "vi": "{product} tự báo mẫu nhận diện đã cũ",
        "en": "{product} itself calls its signatures out of date",
    },
    "reason_signature_time_in_future": {
        "vi": "ngày mẫu nhận diện của {product} nằm ở tương lai",
        "en": "the date of the signatures of {product} lies in the future",
    },
    "reason_collector_failing": {
        "vi": "bộ thu thập {collector} gặp lỗi: {detail}",
        "en": "the collector {collector} fails: {detail}",
    },
    # workbook
    "sheet_figures": {"vi": "Số liệu", "en": "Figures"},
    "sheet_agencies": {"vi": "Theo cơ quan", "en": "By agency"},
    "sheet_machines": {"vi": "Danh sách máy", "en": "Machines"},
    "sheet_method": {"vi": "Cách tính", "en": "Method"},
    "figure": {"vi": "Chỉ số", "en": "Figure"},
    "value": {"vi": "Giá trị", "en": "Value"},
    "figure_known": {"vi": "Máy đã biết (mẫu số)", "en": "Known machines (denominator)"},
    "figure_protected": {"vi": "Máy được bảo vệ (tử số)", "en": "Protected machines (numerator)"},
    "figure_percent": {"vi": "Tỷ lệ trên máy đã biết", "en": "Share of known machines"},
    "figure_officials": {"vi": "Cán bộ, công chức đã khai báo", "en": "Declared officials"},
    "figure_percent_officials": {
        "vi": "Tỷ lệ trên số cán bộ, công chức",
        "en": "Share of declared officials",
    },
    "figure_agencies": {"vi": "Cơ quan, đơn vị", "en": "Agencies"},
    "figure_with": {
        "vi": "Cơ quan có ít nhất một máy được bảo vệ",
        "en": "Agencies with at least one protected machine",
    },
    "figure_percent_with": {"vi": "Tỷ lệ theo cơ quan", "en": "Share of agencies"},
    "figure_complete": {
        "vi": "Cơ quan có toàn bộ máy đã biết được bảo vệ",
        "en": "Agencies whose every known machine is protected",
    },
    "figure_national": {
        "vi": "Máy quá {days} ngày chưa cập nhật mẫu nhận diện",
        "en": "Machines without a signature update for more than {days} days",
    },
}


def say(lang: str, sentence: str, **values: object) -> str:
    """The sentence in ``lang`` with its values put in.

    Raises:
        KeyError: no such sentence, language or value: a programming error.
    """
    return SENTENCES[sentence][lang].format(**values)
