"""What the figures were measured on; nothing that identifies the machine."""

import os
import platform
import re
from importlib.metadata import version
from pathlib import Path

import psutil

from stack import jars

PACKAGES = ("pyspark", "deltalake")
JARS = ("kafka_2.13", "delta-spark_4.2_2.13")


def describe() -> dict[str, str | int]:
    """Cores, memory, processor, system and versions."""
    versions = {name: version(name) for name in PACKAGES}
    versions |= {jar.name: jar.version for jar in jars.locked() if jar.name in JARS}
    return {
        "cores": os.cpu_count() or 0,
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **versions,
    }


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    text = information.read_text() if information.exists() else ""
    match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1] if match else platform.processor()
