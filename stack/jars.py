"""The jars of Spark's connectors and of the broker: locked by checksum, resolved from Maven once.

One is our own, compiled by the Scala that Spark brings: how Delta commits to an object store.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pyspark

from jobs.engine.session import OBJECT_STORE
from jobs.settings import Settings, settings
from stack import java
from stack.environments import LOCKS, exclusive
from stack.exceptions import StackError

LOG_STORE = Path(__file__).parents[1] / "jobs" / "engine" / "ConditionalLogStore.scala"


@dataclass(frozen=True)
class Jar:
    """One line of the lock: ``classpath group:name:version sha256:checksum``."""

    classpath: str
    group: str
    name: str
    version: str
    sha256: str

    @property
    def path(self) -> Path:
        """Path inside the directory of jars."""
        return Path(self.classpath) / f"{self.name}-{self.version}.jar"

    @property
    def coordinate(self) -> str:
        """Maven coordinate."""
        return f"{self.group}:{self.name}:{self.version}"


def locked(lock: Path = LOCKS / "jars.txt") -> list[Jar]:
    """Every jar of the lock."""
    return [_parse(line) for line in lock.read_text().splitlines() if line and not line.startswith("#")]


def directory(cache: Path) -> Path:
    """Where the jars lie, one folder per classpath (``spark``, ``kafka``)."""
    return cache / "jars"


def unfit(directory: Path, jars: Iterable[Jar]) -> list[Jar]:
    """Jars that are missing or whose bytes are not the locked ones."""
    return [jar for jar in jars if _checksum(directory / jar.path) != jar.sha256]


def needed(settings: Settings) -> list[Jar]:
    """The jars of the lock without those for an object store, unless the lake is in one."""
    return [jar for jar in locked() if jar.classpath != OBJECT_STORE or settings.is_in_object_store]


def are_complete(cache: Path, jars: Sequence[Jar]) -> bool:
    """Whether the jars are there, and ours with those for an object store."""
    home = directory(cache)
    return not unfit(home, jars) and (_log_store(home).exists() or not _for_object_store(jars))


def ensure(cache: Path, jars: Sequence[Jar]) -> None:
    """Fetch those of the jars that are missing or damaged, and compile ours.

    Raises:
        StackError: Maven did not answer, a jar has another checksum than the locked one, or Scala refused ours.
    """
    if are_complete(cache, jars):
        return
    home = directory(cache)
    with exclusive(cache / "jars.lock"):
        wanted = unfit(home, jars)
        for classpath in {jar.classpath for jar in wanted}:
            (home / classpath).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=home) as fetched:
            _fetch(wanted, Path(fetched), cache / "ivy")
            for jar in wanted:
                _accept(jar, Path(fetched), home)
        if _for_object_store(jars) and not _log_store(home).exists():
            _compile_log_store(home)


def _for_object_store(jars: Iterable[Jar]) -> bool:
    return any(jar.classpath == OBJECT_STORE for jar in jars)


def _log_store(home: Path) -> Path:
    return home / OBJECT_STORE / f"log-store-{_checksum(LOG_STORE)}.jar"


def _compile_log_store(home: Path) -> None:
    for old in (home / OBJECT_STORE).glob("log-store-*.jar"):
        old.unlink()
    spark = Path(pyspark.__file__).parent / "jars"
    scala = ":".join(str(jar) for jar in spark.glob("scala-*.jar"))
    known = ":".join(map(str, [*spark.glob("hadoop-client-api-*.jar"), *home.glob("*/*.jar")]))
    with tempfile.TemporaryDirectory(dir=home) as made:
        jar = Path(made) / "log-store.jar"
        command = [java.executable(), "-cp", scala, "scala.tools.nsc.Main", "-usejavacp", "-classpath", known]
        _run([*command, "-d", str(jar), str(LOG_STORE)], "Scala could not compile Delta's log store")
        shutil.move(jar, _log_store(home))


def _parse(line: str) -> Jar:
    classpath, coordinate, checksum = line.split()
    group, name, version = coordinate.split(":")
    return Jar(classpath, group, name, version, checksum.removeprefix("sha256:"))


def _checksum(file: Path) -> str | None:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None


def _accept(jar: Jar, fetched: Path, home: Path) -> None:
    found = _checksum(fetched / jar.path)
    if found != jar.sha256:
        raise StackError(
            f"Maven delivered {jar.coordinate} with sha256 {found}, but stack/locks/jars.txt says "
            f"{jar.sha256}. Do not use it; find out which of the two is wrong."
        )
    shutil.move(fetched / jar.path, home / jar.path)


def _fetch(jars: Iterable[Jar], target: Path, ivy_cache: Path) -> None:
    module = target / "ivy.xml"
    module.write_text(_ivy_module(jars))
    [ivy] = (Path(pyspark.__file__).parent / "jars").glob("ivy-*.jar")
    pattern = f"{target}/[conf]/[artifact]-[revision].[ext]"
    options = ["-cache", str(ivy_cache), "-ivy", str(module), "-types", "jar", "bundle"]
    command = [java.executable(), f"-Divy.default.ivy.user.dir={ivy_cache}", "-jar", str(ivy)]
    _run([*command, *options, "-retrieve", pattern], "Ivy could not fetch jars from Maven")


def _run(command: Sequence[str], otherwise: str) -> None:
    finished = subprocess.run(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if finished.returncode != 0:
        raise StackError(f"{otherwise}:\n{finished.stdout.strip()[-3000:]}")


def _ivy_module(jars: Iterable[Jar]) -> str:
    jars = list(jars)
    confs = "".join(f'<conf name="{name}"/>' for name in sorted({jar.classpath for jar in jars}))
    dependencies = "".join(
        f"<dependency org={quoteattr(jar.group)} name={quoteattr(jar.name)} rev={quoteattr(jar.version)} "
        f'conf="{jar.classpath}-&gt;master" transitive="false"/>'
        for jar in jars
    )
    return (
        '<ivy-module version="2.0"><info organisation="sluice" module="jars"/>'
        f"<configurations>{confs}</configurations><dependencies>{dependencies}</dependencies></ivy-module>"
    )


if __name__ == "__main__":
    try:
        ensure(settings().cache, locked() if "--all" in sys.argv else needed(settings()))
    except StackError as error:
        sys.exit(f"error: {error}")
