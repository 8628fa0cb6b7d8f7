"""Let a query go on from where its tables are, after these came back from a backup."""

from jobs.bronze import EVENTS
from jobs.engine import resume
from jobs.engine.resume import Written
from jobs.intake import INTAKE_BY_MINUTE
from jobs.settings import Settings


def rewind(query: str, settings: Settings) -> int:
    """Let a query, which must not run, go on from where its tables are.

    Args:
        query: ``bronze``, or ``live-<domain>``.
        settings: where the lake is.

    Returns:
        the last micro-batch that its tables have; -1 for none.

    Raises:
        OlderTablesError: no position is as old as the tables.
    """
    counted = EVENTS if query == "bronze" else INTAKE_BY_MINUTE.table
    return resume.rewind(query, Written(counted, events=()), settings.lake_url)
