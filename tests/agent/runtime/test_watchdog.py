"""When an agent starts itself anew."""

from __future__ import annotations

from agent.reasons import translate
from agent.runtime.watchdog import Watchdog


class Clocked:
    """A watchdog whose clock, memory and processor time are set."""

    def __init__(self) -> None:
        self.now, self.held, self.spent = 0.0, 10, 0.0
        self.dog = Watchdog(
            100_000_000, memory=lambda: self.held, cpu=lambda: self.spent, monotonic=lambda: self.now
        )

    def pass_time(self, seconds: float, cpu_ratio: float = 0.0) -> str:
        """The first complaint within ``seconds``, looked for every five."""
        end = self.now + seconds
        while self.now < end:
            self.now += 5
            self.spent += 5 * cpu_ratio
            said = self.dog.look()
            if said:
                return said
        return ""


def test_memory_that_stays_too_high_is_too_much_and_a_peak_is_not() -> None:
    clocked = Clocked()
    clocked.held = 150_000_000
    assert clocked.pass_time(240) == ""
    clocked.held = 90_000_000
    assert clocked.pass_time(60) == ""
    clocked.held = 150_000_000
    assert clocked.pass_time(240) == ""
    said = clocked.pass_time(120)
    assert "150 MB" in said
    assert "limit 100 MB" in said
    assert "giới hạn 100 MB" in translate(said, "vi")


def test_a_processor_that_is_held_for_long_is_too_much_and_a_burst_is_not() -> None:
    clocked = Clocked()
    assert clocked.pass_time(120, cpu_ratio=1.0) == ""
    assert clocked.pass_time(1680, cpu_ratio=0.1) == ""
    said = clocked.pass_time(901, cpu_ratio=0.5)
    assert "50 % of a processor core" in said
    assert translate(said, "vi").startswith("chương trình tự khởi động lại: dùng 50 %")
