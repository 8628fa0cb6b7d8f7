"""A real S3-compatible store for tests, over a folder of this machine."""

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from jobs.settings import Settings
from tests.stack.pipeline import eventually, free_port_pair

GATEWAY = "github.com/versity/versitygw/cmd/versitygw"
VERSION = "v1.8.0"
BUCKET = "bucket"


def gateway() -> Path:
    """The store's program, built from its source once; skips the test where there is no Go."""
    if shutil.which("go") is None:
        pytest.skip("needs Go, to build an S3-compatible store")
    home = Settings().cache / "tools" / f"versitygw-{VERSION}"
    if not (home / "versitygw").exists():
        variables = os.environ | {"GOBIN": str(home), "CGO_ENABLED": "0"}
        subprocess.run(["go", "install", f"{GATEWAY}@{VERSION}"], env=variables, check=True)
    return home / "versitygw"


@contextmanager
def object_store(folder: Path, *, host: str = "127.0.0.1") -> Iterator[dict[str, str]]:
    """A store that has the empty bucket ``BUCKET``; gives the variables ``AWS_…`` with which to get at it."""
    program, port, key, secret = gateway(), free_port_pair(), "key", secrets.token_hex(16)
    (folder / "objects" / BUCKET).mkdir(parents=True)
    command = [program, "--quiet", "--port", f"{host}:{port}", "posix", folder / "objects"]
    variables = os.environ | {"ROOT_ACCESS_KEY": key, "ROOT_SECRET_KEY": secret}
    with (folder / "gateway.log").open("w") as log:
        process = subprocess.Popen(command, env=variables, stdout=log, stderr=log)
    address = f"http://{host}:{port}"
    try:
        eventually(lambda: _answers(address), what="the object store answers", seconds=30)
        yield {
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": address,
            "AWS_ALLOW_HTTP": "true",
        }
    finally:
        process.kill()
        process.wait()


def _answers(address: str) -> bool:
    try:
        # Without a signature it refuses, which is an answer.
        requests.get(address, timeout=5)
    except requests.ConnectionError:
        return False
    return True
