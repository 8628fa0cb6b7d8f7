"""What a process keeps on disk goes when it is gone, however it went."""

import signal
import subprocess
import sys
from pathlib import Path

from jobs.engine.scratch import delete_abandoned, scratch_folder

HOLD = """
import sys, time
from pathlib import Path
from jobs.engine.scratch import scratch_folder
folder = scratch_folder(Path(sys.argv[1]))
(folder / "block").write_text("a record")
print(folder, flush=True)
time.sleep(600)
"""


def test_the_folder_of_a_killed_process_is_deleted(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        assert delete_abandoned(tmp_path) == 0
        assert (folder / "block").exists()
        process.send_signal(signal.SIGKILL)
    assert delete_abandoned(tmp_path) == 1
    assert list(tmp_path.iterdir()) == []


def test_what_an_earlier_version_left_is_deleted(tmp_path: Path) -> None:
    (tmp_path / "tmp" / "blockmgr-1" / "00").mkdir(parents=True)
    own = scratch_folder(tmp_path / "tmp")
    assert [path for path in (tmp_path / "tmp").iterdir() if path.is_dir()] == [own]
    assert scratch_folder(tmp_path / "tmp") == own
