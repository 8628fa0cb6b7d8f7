"""Delete the files that a table does not need any more, beside whoever writes to it."""

from contextlib import suppress

from deltalake import DeltaTable

from jobs.engine import data_file

UNCOMMITTED_HOURS = 24
"""A younger file that no version names may belong to a commit that is under way, such as that of a whole table."""
REPLACED_HOURS = 1
"""The same for a table in which every micro-batch replaces files: a day's worth of them would fill the disk."""


def delete_old_files(url: str, hours: int = UNCOMMITTED_HOURS) -> int:
    """Delete files that the table's newest version does not name, unless they are young; returns how many.

    delta-rs' own vacuum also notes itself in the table's log, before and after: a race that it loses against a mart
    that replaces a file every second.

    Args:
        url: of the table.
        hours: how old files must be.
    """
    files = data_file.storage(url)
    old = DeltaTable(url).vacuum(hours, dry_run=True, enforce_retention_duration=False, full=True)
    for path in old:
        with suppress(FileNotFoundError):  # somebody else has
            files.delete_file(path)
    return len(old)
