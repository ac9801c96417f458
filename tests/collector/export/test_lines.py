from __future__ import annotations

import math
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from influxdb_client.client.write.point import Point

from collector.export.lines import Labels, line
from collector.export.spool import SpooledPoint


def point(name: str = "host.cpu_used_ratio", value: float = 0.25, **attributes: str) -> SpooledPoint:
    return SpooledPoint(3, 7, "ep-1", name, 1_795_000_000_250_000, value, False, attributes)


def test_a_line_says_whose_it_is_and_when() -> None:
    assert line(point(to="10.0.0.1"), Labels("may 01", "so-tai-chinh")) == (
        "vonggac,agency=so-tai-chinh,endpoint=ep-1,host=may\\ 01,to=10.0.0.1"
        " host_cpu_used_ratio=0.25 1795000000250000000"
    )


def test_an_endpoint_that_is_no_longer_known_and_an_attribute_that_takes_our_name() -> None:
    simulated = SpooledPoint(0, 1, "ep", "a.b", 1, 1.0, True, {"host": "mine", "agency": ""})

    assert line(simulated, Labels()) == "vonggac,attribute_host=mine,endpoint=ep,simulated=1 a_b=1.0 1000"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_the_protocol_cannot_say_has_no_line(value: float) -> None:
    assert line(point(value=value), Labels()) is None


def test_a_name_of_nothing_has_no_line() -> None:
    assert line(point(name="…"), Labels()) is None


@given(
    st.text(max_size=30),
    st.text(max_size=30),
    st.floats(allow_nan=False, allow_infinity=False),
    st.dictionaries(st.text(max_size=10), st.text(max_size=30), max_size=3),
)
@example("a\nb c=1", "x,y=z w\\", 1e-300, {"k\n": "v\r\nvonggac x=1"})
def test_whatever_an_agent_says_stays_one_line_of_one_field(
    name: str, host: str, value: float, attributes: dict[str, str]
) -> None:
    said = line(point(name, value), Labels(host, "a"))
    both = line(SpooledPoint(0, 0, host, name, 5, value, False, attributes), Labels(host, name))

    for each in (said, both):
        if each is None:
            continue
        assert not re.search(r"[\x00-\x1f\x7f]", each)
        head, field, time = re.split(r"(?<!\\) ", each)
        assert head.startswith("vonggac,")
        assert re.fullmatch(r"[a-zA-Z0-9_]+=\S+", field)
        assert time.isdecimal()
        assert float(field.partition("=")[2]) == value
        for tag in re.split(r"(?<!\\),", head)[1:]:
            assert len(re.split(r"(?<!\\)=", tag)) == 2


@given(st.text("abc ,=Đ", min_size=1, max_size=12).map(str.strip).filter(bool))
def test_tags_are_escaped_as_the_client_itself_does(host: str) -> None:
    said = line(point(), Labels(host, "a"))
    theirs = Point.from_dict(
        {
            "measurement": "vonggac",
            "tags": {"agency": "a", "endpoint": "ep-1", "host": host},
            "fields": {"host_cpu_used_ratio": 0.25},
            "time": 1_795_000_000_250_000_000,
        }
    )

    assert said == theirs.to_line_protocol()
