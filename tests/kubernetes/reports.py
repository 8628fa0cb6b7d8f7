"""Reports of a release: sent at once, and read where its mail sink keeps them."""

from email import message_from_string
from email.message import Message

from tests.kubernetes.cluster import Cluster


def send(cluster: Cluster, name: str) -> None:
    """Let the reports whose name begins so go out in the next minute, by a pod `toolbox`."""
    cluster.kubectl("exec", "--stdin", "toolbox", "--", "python", "-", name, given=SCHEDULE)


def received(cluster: Cluster) -> list[Message]:
    """The first report that the mail sink has, if there is one; alerts may write, too."""
    command = ("sh", "-c", "grep -s --files-with-matches '^Subject: .Report.' /var/lib/sluice/mail/new/* || true")
    sink = ("exec", "deployment/sluice-mail", "--")
    files = cluster.kubectl(*sink, *command).split()
    return [message_from_string(cluster.kubectl(*sink, "cat", file)) for file in files[:1]]


def attached(mail: Message) -> list[str]:
    """Names of what is attached to a mail."""
    return [name for part in mail.walk() if (name := part.get_filename())]


SCHEDULE = """
import json, os, requests, sys
url = os.environ["SLUICE_SUPERSET_URL"] + "/api/v1/"
session = requests.Session()
user = json.loads(os.environ["SLUICE_SUPERSET_USERS"])["admin"]
login = session.post(url + "security/login", json={**user, "provider": "db"}, timeout=60).json()
session.headers["Authorization"] = "Bearer " + login["access_token"]
token = session.get(url + "security/csrf_token/", timeout=60).json()["result"]
session.headers.update({"X-CSRFToken": token, "Referer": url})
for report in session.get(url + "report/", timeout=60).json()["result"]:
    if report["name"].startswith(sys.argv[1]):
        session.put(url + f"report/{report['id']}", json={"crontab": "* * * * *"}, timeout=60).raise_for_status()
"""
