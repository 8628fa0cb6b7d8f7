"""``python -m bench.one_mart``: `sluice run bronze live` with one mart per topic, to tell what a mart costs.

The other tables are declared all the same, for suites and views name them; they stay empty.
"""

from unittest.mock import patch

from jobs.marts import MARTS
from jobs.run import run
from jobs.settings import settings

FIRST = {topic: marts[:1] for topic, marts in MARTS.items()}

if __name__ == "__main__":
    with patch("jobs.entity.MARTS", FIRST), patch("jobs.entity.SNAPSHOTS", {}):
        run(["bronze", "live"], settings())
