"""A part of ``make torture``: whatever happens, each table holds what was sent, every row once."""

from pathlib import Path

from jobs.marts import MARTS
from stack.demo import TOPICS
from tests.scale import FULL, scaled
from tests.stack.pipeline import sluice
from tests.stack.truth import TRUTH
from tests.stack.view_truth import VIEW_TRUTH
from tests.torture import nemesis
from tests.torture.run import torture

RATE = scaled(small=10, full=50)
ROUNDS = scaled(small=1, full=2)
FEW = (
    *(nemesis.killed_between_commits, nemesis.killed_in_the_spark_writer, nemesis.killed_while_maintained),
    *(nemesis.checkpoint_lost, nemesis.expired),
)


def test_every_table_is_right_whatever_happens(tmp_path: Path) -> None:
    faults = nemesis.FAULTS if FULL else FEW
    assert {mart.name for marts in MARTS.values() for mart in marts} == set(TRUTH)
    with torture(tmp_path, seed=7, rate=RATE, faults=faults) as tortured:
        for _ in range(ROUNDS * len(faults)):
            print(tortured.step())
        settings = tortured.end()
        assert sluice(settings, "refresh", *VIEW_TRUTH) == 0
        tortured.check_views()
        assert sluice(settings, "reconcile") == 0

    assert set(tortured.truth.counts) == set(TOPICS)
    assert sum(counts["late"] for counts in tortured.truth.counts.values()) > 0
