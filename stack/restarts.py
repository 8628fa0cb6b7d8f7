"""supervisord's event listener that counts how often each program died: `python -m stack.restarts FILE`."""

import json
import sys
from collections import Counter
from pathlib import Path

from supervisor import childutils

from stack.credentials import write_private


def main(file: Path) -> None:
    """Count exits that nobody asked for, for ever; supervisord restarts the program after each."""
    deaths: Counter[str] = Counter(json.loads(file.read_text()) if file.exists() else {})
    while True:
        _, payload = childutils.listener.wait()
        event, _ = childutils.eventdata(payload + "\n")
        deaths[event["processname"]] += 1
        write_private(file, deaths)
        childutils.listener.ok()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
