"""What runs inside the cluster, in a pod of the jobs' image: `send` takes messages, `ask` takes SQL, a line each."""

import json
import os
import sys
import time

import requests

from jobs.settings import settings
from stack.end_to_end import Superset
from stack.produce import sender


def send(topic: str) -> None:
    """Send ``[key, value]`` of each line; in the end say how many."""
    sent = 0
    with sender(settings()) as kafka:
        for line in sys.stdin:
            key, value = json.loads(line)
            kafka.send(topic, key=key.encode(), value=value.encode())
            sent += 1
    print(sent, flush=True)


def ask() -> None:
    """Answer the SQL of each line with its rows, or with null while Superset does not answer."""
    superset = None
    for line in sys.stdin:
        try:
            superset = superset or _superset()
            print(json.dumps(superset.select(json.loads(line), most=100_000)), flush=True)
        except requests.RequestException as error:
            print(error, file=sys.stderr, flush=True)
            superset = None
            # Superset takes twenty logins a minute.
            time.sleep(3)
            print("null", flush=True)


def _superset() -> Superset:
    return Superset(os.environ["SLUICE_SUPERSET_URL"], json.loads(os.environ["SLUICE_SUPERSET_USERS"])["admin"])


if __name__ == "__main__":
    {"send": send, "ask": ask}[sys.argv[1]](*sys.argv[2:])
