"""Superset's configuration; everything that differs between installations comes from the environment.

Required: ``SLUICE_HOME``, ``SLUICE_SUPERSET_PORT``, ``SLUICE_SUPERSET_SECRET_KEY``, ``SLUICE_METADATA_URL``
(``postgresql+psycopg2://…``), ``SLUICE_REDIS_URL`` (``redis://127.0.0.1:PORT``), ``SLUICE_MAIL_PORT``.
Optional: ``SLUICE_LAKE``; ``SLUICE_PORTALS``, the origins whose pages may embed dashboards, separated by spaces; in a
cluster also ``SLUICE_SUPERSET_URL``, how a browser of ours reaches the web server, ``SLUICE_SUPERSET_PUBLIC_URL``, how
users do, ``SLUICE_MAIL_HOST``, ``…_USER``, ``…_PASSWORD``, ``…_FROM``, ``…_STARTTLS`` and ``SLUICE_BROWSER_SANDBOX``: 0
where the kernel lets no process make a sandbox. Where Trino serves gold, ``SLUICE_TRINO_URL``, ``…_PASSWORD``,
``…_AUTHORITY``, a file with the certificate of who signed Trino's, and ``…_SECONDS``, how long a query may take.
"""

import os
from functools import cache
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import access_limits
import data_docs
import embedding
import lake_connection
import parsedatetime
import phone_layout
import rights
import sessions
import shared_answers
import sql_guard
import trino_connection
from audit_log import AuditLogger
from cachelib.redis import RedisCache
from celery.schedules import crontab
from jinja2 import ChoiceLoader, FileSystemLoader
from redis import Redis
from superset.config import THEME_DARK as DARK
from superset.config import THEME_DEFAULT as LIGHT
from superset.tasks.types import ExecutorType
from werkzeug.middleware.shared_data import SharedDataMiddleware

REDIS_URL = os.environ["SLUICE_REDIS_URL"].rstrip("/")
PORTALS = os.environ.get("SLUICE_PORTALS", "").split()
ADDRESS = os.environ.get("SLUICE_SUPERSET_URL") or f"http://127.0.0.1:{os.environ['SLUICE_SUPERSET_PORT']}/"

# Metadata database and secrets.
SECRET_KEY = os.environ["SLUICE_SUPERSET_SECRET_KEY"]
SQLALCHEMY_DATABASE_URI = os.environ["SLUICE_METADATA_URL"]

# The lake.
DB_CONNECTION_MUTATOR = lake_connection.mutate_connection
# DuckDB's dialect lacks these two grains, which Trino's has.
TIME_GRAIN_ADDON_EXPRESSIONS = {
    "duckdb": {
        "PT5S": "TIME_BUCKET(INTERVAL 5 SECOND, {col})",
        "PT30S": "TIME_BUCKET(INTERVAL 30 SECOND, {col})",
    }
}
# Superset asks for these anew for every "now" in a chart's time range, an eighth of its time; they are always the same.
parsedatetime.Constants = cache(parsedatetime.Constants)
# "Last 15 minutes" ends now; Superset's own default is last midnight.
DEFAULT_RELATIVE_END_TIME = "now"


def _cache(prefix: str, seconds: int) -> dict[str, Any]:
    return {
        "CACHE_TYPE": "RedisCache",
        "CACHE_REDIS_URL": f"{REDIS_URL}/1",
        "CACHE_KEY_PREFIX": f"superset_{prefix}_",
        "CACHE_DEFAULT_TIMEOUT": seconds,
    }


DAY = 24 * 60 * 60
CACHE_CONFIG = _cache("metadata", 300)
# One second: a hundred viewers of a live dashboard cost as much as one, and see nothing stale. The datasets of views,
# which change every ten minutes, have a longer time of their own.
DATA_CACHE_CONFIG = _cache("data", 1)
FILTER_STATE_CACHE_CONFIG = _cache("filter", 90 * DAY)
EXPLORE_FORM_DATA_CACHE_CONFIG = _cache("explore", 7 * DAY)

# SQL Lab: a worker runs the query and leaves its rows here, for an hour.
RESULTS_BACKEND = RedisCache(Redis.from_url(f"{REDIS_URL}/1"), key_prefix="superset_results_", default_timeout=3600)
SQLLAB_TIMEOUT = SQLLAB_ASYNC_TIME_LIMIT_SEC = int(os.environ.get("SLUICE_TRINO_SECONDS") or sql_guard.LONGEST_SECONDS)
# Superset looks every second whether Trino has the answer, which most have sooner.
DB_POLL_INTERVAL_SECONDS = {"trino": 0.2}
SQL_MAX_ROW = DISPLAY_MAX_ROW = 10_000

EVENT_LOGGER = AuditLogger()
BLUEPRINTS = [data_docs.blueprint]

# Live dashboards: refreshes may use the cache above instead of going round it.
DASHBOARD_AUTO_REFRESH_MODE = "fetch"
DASHBOARD_AUTO_REFRESH_INTERVALS = [
    [0, "Don't refresh"],
    [1, "1 second"],
    [2, "2 seconds"],
    [5, "5 seconds"],
    [10, "10 seconds"],
    [30, "30 seconds"],
    [60, "1 minute"],
    [300, "5 minutes"],
]

# What moves keeps the browser busy with drawing: charts that slide to their new values every 2 s; menus that fade and a
# spinner in each chart, which together took a fifth of the time until a dashboard was drawn. Dots that change twice a
# second show just as well that there is more to come.
DOT = """<circle cx="{x}" cy="5" r="4" fill="#2893B3"><animate attributeName="opacity" values="{opacities}" dur="1.5s"
 calcMode="discrete" repeatCount="indefinite"/></circle>"""
DOTS = "".join(DOT.format(x=x, opacities=o) for x, o in ((5, "1;.3;.3"), (20, ".3;1;.3"), (35, ".3;.3;1")))
SPINNER = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 40 10">{DOTS}</svg>'


# Superset's own logo is dark on dark.
LOGO = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 72 24">
<text y="19" font-family="sans-serif" font-size="20" font-weight="bold" fill="{ink}">Sluice</text></svg>"""


def _theme(theme: dict[str, Any], ink: str) -> dict[str, Any]:
    logo = f"data:image/svg+xml,{quote(LOGO.format(ink=ink))}"
    ours = {"motion": False, "brandSpinnerSvg": SPINNER, "brandLogoUrl": logo, "brandLogoAlt": "Sluice"}
    return theme | {"token": theme["token"] | ours, "echartsOptionsOverrides": {"animation": False}}


THEME_DEFAULT = _theme(LIGHT, ink="#222")
THEME_DARK = _theme(DARK, ink="#eee")


def FLASK_APP_MUTATOR(app: Any) -> None:  # noqa: N802
    """Superset calls this when it has read its configuration, so that its own modules can be imported."""
    import sql_expressions  # noqa: F401

    trino_connection.install()
    phone_layout.install(app)
    sessions.install(app)
    shared_answers.install(app, SESSION_REDIS)
    embedding.frame_in(PORTALS, TALISMAN_CONFIG["content_security_policy"])
    # Before Superset's own: pages with a viewport.
    app.jinja_loader = ChoiceLoader([FileSystemLoader(Path(__file__).parent / "templates"), app.jinja_loader])


FEATURE_FLAGS = {
    "ALERT_REPORTS": True,
    "ALERT_REPORT_TABS": True,
    # With Trino, rows depend on who asks (`trino_connection.py`), and so must what is remembered.
    "CACHE_IMPERSONATION": True,
    "DASHBOARD_RBAC": True,
    "EMBEDDED_SUPERSET": bool(PORTALS),
    "RLS_IN_SQLLAB": True,
}

# Loading a page. The bundles' names change with their contents, so they are served without the application,
# whose `Vary: Cookie` would void the browser's copies. Compressing them for every browser costs more
# than it saves on the loopback interface.
STATIC = {"/static/assets": ("superset", "static/assets")}
ADDITIONAL_MIDDLEWARE = [lambda app: SharedDataMiddleware(app, STATIC, cache_timeout=365 * DAY)]
COMPRESS_MIMETYPES: list[str] = []

# Security.
WTF_CSRF_ENABLED = True
ENABLE_CORS = False
TALISMAN_ENABLED = True
TALISMAN_CONFIG = {
    # Nothing but this server; among others, the user interface's telemetry pixel stays unanswered.
    "content_security_policy": {
        "base-uri": ["'self'"],
        "default-src": ["'self'"],
        "connect-src": ["'self'"],
        "font-src": ["'self'"],
        "img-src": ["'self'", "blob:", "data:"],
        "object-src": "'none'",
        "script-src": ["'self'", "'strict-dynamic'"],
        # The user interface sets styles on elements.
        "style-src": ["'self'", "'unsafe-inline'"],
        "worker-src": ["'self'", "blob:"],
    },
    "content_security_policy_nonce_in": ["script-src"],
    # Plain HTTP, on the loopback interface only; a cluster's ingress does TLS.
    "force_https": False,
    "session_cookie_secure": False,
}
# Users who come by an ingress have its address, and would share one limit; it says whose they are.
ENABLE_PROXY_FIX = bool(os.environ.get("SLUICE_SUPERSET_PUBLIC_URL"))
RATELIMIT_ENABLED = True
RATELIMIT_STORAGE_URI = f"{REDIS_URL}/2"
# Not for charts: one live dashboard makes more requests than Superset's limit for all routes allows.
RATELIMIT_APPLICATION = "60 per minute"
RATELIMIT_APPLICATION_EXEMPT_WHEN = access_limits.is_unlimited
RATELIMIT_KEY_FUNC = access_limits.who_asks
AUTH_RATE_LIMIT = "20 per minute"
# Guests of a portal.
GUEST_ROLE_NAME = "Guest"
GUEST_TOKEN_JWT_SECRET = embedding.token_secret(SECRET_KEY)
GUEST_TOKEN_VALIDATOR_HOOK = embedding.is_restricted
CUSTOM_SECURITY_MANAGER = rights.SecurityManager
# A working day, from the last click. What a session is, is on the server, so that logging out ends it wherever its
# cookie is; Superset's own sessions are their cookies, which can be used again after that.
PERMANENT_SESSION_LIFETIME = 12 * 60 * 60
SESSION_SERVER_SIDE = True
SESSION_TYPE = "redis"
SESSION_REDIS = Redis.from_url(f"{REDIS_URL}/1")
SESSION_KEY_PREFIX = "superset_session_"
SESSION_PERMANENT = False  # the cookie ends with the browser
SESSION_REFRESH_EACH_REQUEST = False
FAB_PASSWORD_COMPLEXITY_ENABLED = True
FAB_PASSWORD_COMPLEXITY_VALIDATOR = access_limits.check_password


class CeleryConfig:
    """Background work: reports and alerts, queries of SQL Lab, warm caches, and pruning Superset's own logs."""

    broker_url = f"{REDIS_URL}/0"
    result_backend = f"{REDIS_URL}/0"
    broker_connection_retry_on_startup = True
    imports = (
        "superset.sql_lab",
        "superset.tasks.scheduler",
        "superset.tasks.cache",
        "cache_warm_up",
        "report_rendering",
        "report_watchdog",
    )
    worker_prefetch_multiplier = 1
    # Two reports, which take half a minute each, leave room for a query.
    worker_concurrency = 3
    beat_schedule: ClassVar[dict[str, Any]] = {
        "reports.scheduler": {"task": "reports.scheduler", "schedule": crontab()},
        "cache.warm_up": {"task": "cache.warm_up", "schedule": crontab(), "options": {"expires": 60}},
        "reports.watchdog": {"task": "reports.watchdog", "schedule": crontab()},
        "reports.prune_log": {"task": "reports.prune_log", "schedule": crontab(minute=10, hour=0)},
        "prune_logs": {
            "task": "prune_logs",
            "schedule": crontab(minute=20, hour="*"),
            "kwargs": {"retention_period_days": 7},
        },
    }


CELERY_CONFIG = CeleryConfig
# Superset reads this in one place only: after a task, to close its session, which is closed by then. That
# fails and would fill the log with a traceback per minute.
CELERY_ALWAYS_EAGER = True

# Reports by mail: pictures taken by Selenium with the system's Chromium.
SMTP_HOST = os.environ.get("SLUICE_MAIL_HOST", "127.0.0.1")
SMTP_PORT = int(os.environ["SLUICE_MAIL_PORT"])
SMTP_STARTTLS = os.environ.get("SLUICE_MAIL_STARTTLS") == "1"
SMTP_SSL_SERVER_AUTH = SMTP_STARTTLS
SMTP_SSL = False
SMTP_USER = os.environ.get("SLUICE_MAIL_USER", "")
SMTP_PASSWORD = os.environ.get("SLUICE_MAIL_PASSWORD", "")
SMTP_MAIL_FROM = os.environ.get("SLUICE_MAIL_FROM", "superset@localhost")
# With the rows of whom the report is for.
ALERT_REPORTS_EXECUTORS = [ExecutorType.OWNER]
WEBDRIVER_BASEURL = ADDRESS
WEBDRIVER_BASEURL_USER_FRIENDLY = os.environ.get("SLUICE_SUPERSET_PUBLIC_URL") or ADDRESS
WEBDRIVER_TYPE = "chrome"
WEBDRIVER_OPTION_ARGS = ["--headless=new", "--disable-gpu", "--disable-dev-shm-usage"]
if os.geteuid() == 0 or os.environ.get("SLUICE_BROWSER_SANDBOX") == "0":
    WEBDRIVER_OPTION_ARGS.append("--no-sandbox")  # Chromium's sandbox refuses root, and needs user namespaces
