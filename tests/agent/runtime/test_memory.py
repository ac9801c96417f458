"""What is given back: only what stands in files anyway."""

from __future__ import annotations

import sys

import pytest

from agent.runtime import memory

SMAPS = """\
00400000-00402000 r--p 00000000 08:01 11   /usr/bin/prog
Rss:                   8 kB
Anonymous:             0 kB
00402000-00410000 r-xp 00002000 08:01 11   /usr/bin/prog
Rss:                  56 kB
Anonymous:             0 kB
00410000-00411000 r--p 00010000 08:01 11   /usr/bin/prog
Rss:                   4 kB
Anonymous:             4 kB
00411000-00412000 rw-p 00011000 08:01 11   /usr/bin/prog
Rss:                   4 kB
Anonymous:             0 kB
01000000-01100000 rw-p 00000000 00:00 0    [heap]
Anonymous:          1024 kB
7f0000000000-7f0000010000 r--p 00000000 08:01 12   /usr/lib/locale/a b/LC_CTYPE
Anonymous:             0 kB
7f0000020000-7f0000030000 r-xs 00000000 08:01 13   /usr/lib/shared.so
Anonymous:             0 kB
7f0000040000-7f0000050000 r-xp 00000000 00:00 0    [vdso]
Anonymous:             0 kB
7f0000060000-7f0000070000 r-xp 00000000 00:00 0
Anonymous:             0 kB
VmFlags: rd ex mr mw me
"""


def test_only_untouched_pages_of_programs_go() -> None:
    assert list(memory.program_pages(SMAPS.splitlines())) == [(0x400000, 0x2000), (0x402000, 0xE000)]


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone gives pages back so")
def test_a_process_goes_on_behind_it_and_holds_less() -> None:
    before = memory.resident_bytes()
    memory.give_back()
    held = memory.resident_bytes()
    assert 0 < held < before
    assert sum(i * i for i in range(1000)) == 332833500  # what is used comes back
