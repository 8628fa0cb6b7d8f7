"""A real supervisord with small programs."""

import configparser
import json
import os
import signal
import stat
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from jobs.settings import CHECKOUT, Settings
from stack import supervision
from stack.exceptions import StackError
from stack.programs import Program

SLEEPER = Program(name="sleeper", command=["sleep", "1000"], priority=10)
DIES = "echo 'the disk is made of cheese'; sleep 0.5; exit 3"
BROKEN = Program(name="broken", command=["sh", "-c", DIES], priority=20)


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    # Deeper than the path of a unix socket may be.
    made = Settings(home=tmp_path / ("deep" * 30), demo_rate=0)
    yield made
    if supervision.is_running(made):
        supervision.shut_down(made)


def process(settings: Settings, name: str) -> supervision.Process:
    return next(process for process in supervision.observe(settings) if process.name == name)


def eventually(holds: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not (held := holds()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return held


def start_sleeper(settings: Settings) -> int:
    supervision.apply(settings, [SLEEPER])
    supervision.start(settings, "sleeper")
    assert eventually(lambda: process(settings, "sleeper").state == "RUNNING")
    pid = process(settings, "sleeper").pid
    assert pid
    return pid


def test_nothing_is_supervised_before_the_start(settings: Settings):
    assert supervision.observe(settings) == []


def test_a_process_that_dies_is_restarted_and_counted(settings: Settings):
    pid = start_sleeper(settings)
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: process(settings, "sleeper").pid not in (None, pid))
    assert eventually(lambda: process(settings, "sleeper").restarts == 1)


def test_starting_twice_leaves_a_running_process_alone(settings: Settings):
    pid = start_sleeper(settings)
    assert start_sleeper(settings) == pid
    assert process(settings, "sleeper").restarts == 0


def test_a_changed_program_is_taken_over_without_touching_the_others(settings: Settings):
    pid = start_sleeper(settings)
    supervision.apply(settings, [SLEEPER, BROKEN])
    assert process(settings, "sleeper").pid == pid
    assert process(settings, "broken").state == "STOPPED"
    supervision.apply(settings, [BROKEN])
    assert [process.name for process in supervision.observe(settings)] == ["broken"]


def test_a_program_that_cannot_start_is_reported_with_its_last_words(settings: Settings):
    supervision.apply(settings, [BROKEN])
    supervision.start(settings, "broken")
    with pytest.raises(StackError, match=r"(?s)broken does not start.*made of cheese"):
        supervision.wait_until(settings, "broken", lambda: False)


def test_shutting_down_ends_all_of_it(settings: Settings):
    pid = start_sleeper(settings)
    supervision.shut_down(settings)
    assert not supervision.is_running(settings)
    assert not Path(f"/proc/{pid}").exists()


def test_the_configuration_is_for_its_owner_only(settings: Settings):
    supervision.apply(settings, [SLEEPER])
    assert stat.S_IMODE((settings.home / "run" / "supervisord.conf").stat().st_mode) == 0o600
    assert stat.S_IMODE(supervision.socket_path(settings.home).parent.stat().st_mode) == 0o700


ODD = {
    "spark_conf": {"spark.driver.extraJavaOptions": '-Da="b c" -Dd=100%'},
    "kafka_username": "'",
    "kafka_password": """"it's" \\ 50% %(here)s %%; # , = $HOME `x`\n\tü\"""",
}
PRINT = """
import json, os
from jobs.settings import CHECKOUT, Settings
found = Settings()
print(json.dumps({name: getattr(found, name) for name in ("spark_conf", "kafka_username", "kafka_password")}))
print(json.dumps([os.environ["OWN"], os.environ["PYTHONPATH"]]), flush=True)
input()
"""


def test_settings_of_any_characters_reach_the_program(settings: Settings):
    odd = settings.model_copy(update=ODD)
    program = Program(
        name="odd",
        command=[sys.executable, "-c", PRINT, "a 'quoted' \"word\", 50%"],
        priority=10,
        environment={"OWN": '"'},
    )
    supervision.apply(odd, [program])
    supervision.start(odd, "odd")
    log = supervision.log_file(odd, "odd")

    assert eventually(lambda: log.exists() and log.read_text().count("\n") == 2)
    found, others = map(json.loads, log.read_text().splitlines())
    assert found == ODD
    assert others == ['"', str(CHECKOUT)]


def test_a_program_with_another_setting_is_another(settings: Settings):
    pid = start_sleeper(settings)
    supervision.apply(settings.model_copy(update={"kafka_password": '"'}), [SLEEPER])
    assert not Path(f"/proc/{pid}").exists()


def test_each_program_is_restarted_stopped_with_its_children_and_its_log_rotated(settings: Settings):
    config = configparser.RawConfigParser()
    config.read_string(supervision.render(settings, [SLEEPER]))
    section = config["program:sleeper"]
    assert section["autorestart"] == "true"
    assert section["killasgroup"] == "true"
    assert section["stdout_logfile_maxbytes"] == "10MB"


def test_what_waits_for_its_next_try_is_started_at_once(settings: Settings):
    """Whoever has made room on the disk does not wait for what died while there was none."""
    supervision.apply(settings, [BROKEN])
    supervision.start(settings, "broken")
    assert eventually(lambda: process(settings, "broken").restarts == 3)
    assert eventually(lambda: process(settings, "broken").state == "BACKOFF")

    supervision.start(settings, "broken")

    assert process(settings, "broken").state == "STARTING"


def test_nothing_is_given_up_however_often_it_dies_at_once(settings: Settings):
    config = configparser.RawConfigParser()
    config.read_string(supervision.render(settings, [SLEEPER]))
    retries = [config.getint(name, "startretries") for name in ("program:sleeper", "eventlistener:restarts")]
    # supervisord waits a second longer after each.
    assert all(count**2 / 2 > timedelta(days=3650).total_seconds() for count in retries)
