"""The Java runtime that the broker and Spark run on."""

import os
import re
import shutil
import subprocess

from stack.exceptions import StackError

MINIMUM = 17
_HOW = f"Install Java {MINIMUM} or newer (Debian, Ubuntu: apt install openjdk-17-jre-headless) or set JAVA_HOME."


def executable() -> str:
    """Path of ``java``: the one in ``JAVA_HOME``, as Spark chooses it, else the first in ``PATH``.

    Raises:
        StackError: there is none.
    """
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin" if home else None)
    if found is None:
        raise StackError(f"There is no Java{f' in JAVA_HOME={home}' if home else ''}. {_HOW}")
    return found


def check() -> None:
    """Raise StackError unless Java is there and new enough."""
    java = executable()
    output = subprocess.run([java, "-version"], capture_output=True, text=True).stderr
    match = re.search(r'version "(?:1\.)?(\d+)', output)
    if match is None:
        raise StackError(f"`{java} -version` does not answer with a version: {output.strip()[:500]}\n{_HOW}")
    if int(match[1]) < MINIMUM:
        raise StackError(f"{java} is Java {match[1]}. {_HOW}")
