import json
import os
import subprocess
import sys

import pytest

from stack.background import AUTOGROUP, SCHEDULED, STREAM

REPORT = f"""
import json, os
autogroup = {str(AUTOGROUP)!r}
print(json.dumps({{
    "session": os.getsid(0), "pid": os.getpid(), "nice": os.nice(0),
    "autogroup": open(autogroup).read() if os.path.exists(autogroup) else None,
}}))
"""


@pytest.mark.parametrize("nice", [STREAM, SCHEDULED])
@pytest.mark.parametrize("is_leader", [True, False], ids=["as supervisord starts it", "as a shell may"])
def test_a_command_gets_a_session_of_its_own_that_yields(is_leader: bool, nice: int) -> None:
    command = [sys.executable, "-m", "stack.background", str(nice), sys.executable, "-c", REPORT]
    process_group = 0 if is_leader else None
    with subprocess.Popen(command, stdout=subprocess.PIPE, process_group=process_group) as process:
        printed, _ = process.communicate()

    found = json.loads(printed)
    # The process that was started is the command: signals to its pid reach it.
    assert found["pid"] == found["session"] == process.pid
    assert found["nice"] == min(19, os.nice(0) + nice)
    assert found["autogroup"] is None or found["autogroup"].strip().endswith(f"nice {nice}")
