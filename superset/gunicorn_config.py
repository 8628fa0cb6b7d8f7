"""Gunicorn: `gunicorn --config superset/gunicorn_config.py "superset.app:create_app()"`."""

import os
from typing import Any

import duckdb
import lake_connection
import trino_connection

bind = f"{os.environ.get('SLUICE_LISTEN', '127.0.0.1')}:{os.environ['SLUICE_SUPERSET_PORT']}"
workers = int(os.environ.get("SLUICE_SUPERSET_PROCESSES", "2"))
reuse_port = True  # or one worker may take nearly all connections, and keep them
worker_class = "gthread"
threads = 8
timeout = 120
keepalive = 30  # a live dashboard asks every 2 s: keep its connections
preload_app = True
control_socket_disable = True


def pre_fork(server: Any, worker: Any) -> None:
    """Leave the worker no DuckDB instance without threads: it would abort when the worker ends."""
    duckdb.default_connection().close()  # importing DuckDB opens it, and using it opens it again


def post_fork(server: Any, worker: Any) -> None:
    """Give the worker connections of its own, and a process beside it that makes answers."""
    from shared_answers import EXTENSION
    from superset.extensions import db

    app = server.app.wsgi()
    # The preloaded application opened metadata connections; two processes must not share a socket.
    with app.app_context():
        db.engine.dispose(close=False)

    def begin() -> None:
        # Or Linux would go on to give it viewers when the worker has ended.
        for listener in worker.sockets:
            listener.close()

    app.extensions[EXTENSION].start_maker(begin)
    if not trino_connection.ADDRESS:
        lake_connection.cursor().execute("SELECT 1")  # so that the first viewer does not wait for DuckDB
