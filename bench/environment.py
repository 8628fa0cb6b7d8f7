"""The Python environment of the load generator, made by uv from ``bench/requirements.txt``.

It is apart from the jobs' environment because only the generator needs librdkafka: at 10,000 events/s it
takes a fifth of the CPU time of kafka-python, and the generator shares the machine with what is measured.
"""

import os
import subprocess
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("requirements.txt")


def ensure(cache: Path) -> Path:
    """Make the environment match its lock; returns its interpreter.

    Raises:
        subprocess.CalledProcessError: uv or the package index failed.
    """
    home = cache / "environments" / "bench"
    python, stamp = home / "bin" / "python", home / "requirements.txt"
    if python.exists() and stamp.exists() and stamp.read_text() == REQUIREMENTS.read_text():
        return python
    uv = cache / "tools" / "bin" / "uv"
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    environment.pop("VIRTUAL_ENV", None)
    subprocess.run([uv, "venv", "--quiet", "--clear", "--python", "3.11", home], check=True, env=environment)
    sync: list[str | Path] = [
        uv,
        "pip",
        "sync",
        "--quiet",
        "--require-hashes",
        "--python",
        python,
        REQUIREMENTS,
    ]
    subprocess.run(sync, check=True, env=environment)
    stamp.write_text(REQUIREMENTS.read_text())
    return python
