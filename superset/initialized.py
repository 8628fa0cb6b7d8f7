"""Whether the metadata are those of a release: `python superset/initialized.py mark|wait RELEASE`.

In a cluster one job initializes, and many processes wait for it; none may start on metadata of another release.
"""

import os
import sys
import time

import psycopg2

TABLE = "sluice_release"


def mark(connection: psycopg2.extensions.connection, release: str) -> None:
    """Note that the metadata are initialized for `release`."""
    with connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE IF NOT EXISTS {TABLE} (release text)")
        cursor.execute(f"DELETE FROM {TABLE}")
        cursor.execute(f"INSERT INTO {TABLE} VALUES (%s)", [release])


def is_marked(connection: psycopg2.extensions.connection, release: str) -> bool:
    """Whether they are."""
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(f"SELECT release FROM {TABLE}")
            return (release,) in cursor.fetchall()
    except psycopg2.errors.UndefinedTable:
        return False


def _connect() -> psycopg2.extensions.connection:
    while True:
        try:
            return psycopg2.connect(os.environ["SLUICE_METADATA_URL"].replace("+psycopg2", "", 1), connect_timeout=5)
        except psycopg2.OperationalError as error:
            print(f"waiting for the metadata database: {error}", flush=True)
            time.sleep(2)


def main(verb: str, release: str) -> None:
    """Command line: ``mark RELEASE``; ``wait RELEASE``; ``wait database``, for the server alone."""
    connection = _connect()
    if verb == "mark":
        mark(connection, release)
    elif release != "database":
        while not is_marked(connection, release):
            print(f"waiting for the metadata of {release}", flush=True)
            time.sleep(2)


if __name__ == "__main__":
    main(*sys.argv[1:])
