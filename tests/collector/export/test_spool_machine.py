"""Workers that die, hand partitions over and do steps again, a reader that dies between sending and noting: whatever
happens in whatever order, what was worked is sent, and each point once unless its own note was lost."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from collector.export.spool import SpoolReader, SpoolWriter
from tests.collector.export.test_spool import PLENTY, rows, send_all

PARTITIONS = (0, 1, 2)
WORKERS = ("detect-1", "detect-2")


class SpoolMachine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.log = dict.fromkeys(PARTITIONS, 0)
        self.checkpoint = dict.fromkeys(PARTITIONS, 0)
        self.owner = dict.fromkeys(PARTITIONS, WORKERS[0])
        self.epoch = dict.fromkeys(PARTITIONS, 1)
        self.writers = {name: SpoolWriter(self.folder, name, PLENTY) for name in WORKERS}
        self.reader = SpoolReader(self.folder)
        self.sent: list[tuple[int, int]] = []
        self.unnoted = 0
        self.paused: list[tuple[str, int, int, int]] = []

    @rule(partition=st.sampled_from(PARTITIONS), count=st.integers(1, 5))
    def arrive(self, partition: int, count: int) -> None:
        self.log[partition] += count

    @rule(name=st.sampled_from(WORKERS), commit=st.booleans(), most=st.integers(1, 8))
    def step(self, name: str, commit: bool, most: int) -> None:
        mine = [partition for partition in PARTITIONS if self.owner[partition] == name]
        ends = {each: min(self.log[each], self.checkpoint[each] + most) for each in mine}
        points = [row for each in mine for row in rows(each, self.checkpoint[each] + 1, ends[each])]
        self.writers[name].put(points, {each: self.epoch[each] for each in mine})
        if commit:
            self.checkpoint.update(ends)

    @rule(partition=st.sampled_from(PARTITIONS), name=st.sampled_from(WORKERS))
    def take_over(self, partition: int, name: str) -> None:
        self.paused.append(
            (self.owner[partition], partition, self.checkpoint[partition], self.epoch[partition])
        )
        self.owner[partition] = name
        self.epoch[partition] += 1

    @rule(most=st.integers(1, 8))
    def one_that_lost_its_lease_wakes_and_writes(self, most: int) -> None:
        if self.paused:
            name, partition, position, epoch = self.paused.pop()
            last = min(self.log[partition], position + most)
            self.writers[name].put(rows(partition, position + 1, last), {partition: epoch})

    @rule(name=st.sampled_from(WORKERS))
    def kill_worker(self, name: str) -> None:
        self.writers[name].close()
        self.writers[name] = SpoolWriter(self.folder, name, PLENTY)

    @rule()
    def send(self) -> None:
        self.sent += send_all(self.reader)
        self.reader.tidy()

    @rule()
    def die_before_noting(self) -> None:
        for record in self.reader.records():
            self.unnoted += len(record.points)
            self.sent += [(point.partition, point.log_offset) for point in record.points]
            break
        self.reader = SpoolReader(self.folder)

    @invariant()
    def nothing_twice_but_what_was_not_noted(self) -> None:
        if hasattr(self, "sent"):
            assert len(self.sent) - len(set(self.sent)) <= self.unnoted

    def teardown(self) -> None:
        if not hasattr(self, "folder"):
            return
        self.send()
        worked = {(each, offset) for each in PARTITIONS for offset in range(1, self.checkpoint[each] + 1)}
        assert worked <= set(self.sent)
        for writer in self.writers.values():
            writer.close()
        shutil.rmtree(self.folder)


TestSpoolMachine = SpoolMachine.TestCase
TestSpoolMachine.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
