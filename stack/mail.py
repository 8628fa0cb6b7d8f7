"""A mail sink: takes every mail and keeps it in a Maildir, sends none."""

import smtplib
import sys
from pathlib import Path

from jobs.settings import Settings
from stack.programs import Program

NAME = "mail"


def program(settings: Settings) -> Program:
    """The SMTP server as a supervised program."""
    handler = ["--class", "aiosmtpd.handlers.Mailbox", str(directory(settings))]
    listen = ["--nosetuid", "--listen", f"{settings.listen}:{settings.mail_port}"]
    command = [sys.executable, "-m", "aiosmtpd", *listen, *handler]
    return Program(name=NAME, command=command, priority=10, stop_signal="INT")


def is_ready(settings: Settings) -> bool:
    """Whether the server talks SMTP."""
    with smtplib.SMTP("127.0.0.1", settings.mail_port, timeout=5) as client:
        return client.noop()[0] == 250


def directory(settings: Settings) -> Path:
    """The Maildir; new mails are files in its ``new/``."""
    return settings.home / "mail"
