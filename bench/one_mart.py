"""``python -m bench.one_mart``: `sluice run bronze live` with one mart per topic, to tell what a mart costs."""

from jobs.marts import MARTS, SNAPSHOTS
from jobs.run import run
from jobs.settings import settings

FIRST = {topic: marts[:1] for topic, marts in MARTS.items()}

if __name__ == "__main__":
    MARTS.update(FIRST)
    SNAPSHOTS.clear()
    run(["bronze", "live"], settings())
