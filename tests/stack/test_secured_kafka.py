"""A broker that talks TLS only and lets in only who has a password."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.kafka_security import python_options
from jobs.settings import Settings
from schemas import load_contracts
from stack import broker, jars, java
from stack.exceptions import StackError
from stack.produce import sender
from tests.stack.order_traffic import order_messages
from tests.stack.pipeline import Jobs, Lake, eventually, free_port_pair

TOPIC = "marketplace.orders"
USER, PASSWORD = "sluice", 'a "quoted" password\\'
EVENTS = 500
SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[Settings]:
    """Settings for a real broker with certificates of its own authority and one user."""
    certificates(tmp_path)
    settings = Settings(
        home=tmp_path,
        kafka_port=free_port_pair(),
        kafka_security_protocol="SASL_SSL",
        kafka_username=USER,
        kafka_password=PASSWORD,
        kafka_ca_file=str(tmp_path / "ca.crt"),
    )
    properties = broker.render(settings).replace("BROKER:PLAINTEXT", "BROKER:SASL_SSL")
    properties += f"""sasl.enabled.mechanisms=SCRAM-SHA-512
sasl.mechanism.inter.broker.protocol=SCRAM-SHA-512
listener.name.broker.scram-sha-512.sasl.jaas.config={SCRAM}
ssl.keystore.type=PEM
ssl.keystore.location={tmp_path / "broker.pem"}
ssl.truststore.type=PEM
ssl.truststore.location={tmp_path / "ca.crt"}
"""
    file = tmp_path / "broker.properties"
    file.write_text(properties)
    classpath = str(jars.directory(settings.cache) / "kafka" / "*")
    run = [java.executable(), "-Dlog4j2.level=WARN", "-cp", classpath]
    user = f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"
    storage = ["format", "--cluster-id", "AAAAAAAAAAAAAAAAAAAAAA", "--config", str(file), "--add-scram", user]
    subprocess.run([*run, "kafka.tools.StorageTool", *storage], check=True, capture_output=True)
    with (tmp_path / "broker.log").open("w") as log:
        process = subprocess.Popen([*run, "-Xmx512m", "kafka.Kafka", str(file)], stdout=log, stderr=log)
    try:
        security = python_options(settings)
        eventually(lambda: broker.is_ready(settings.bootstrap_servers, security), what="broker is ready", seconds=60)
        yield settings
    finally:
        process.kill()
        process.wait()


def certificates(folder: Path) -> None:
    """An authority (`ca.crt`), and key and certificate of the broker in one file (`broker.pem`)."""
    new = ["openssl", "req", "-newkey", "rsa:2048", "-nodes"]
    commands = (
        [*new, "-x509", "-days", "2", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.crt"],
        [*new, "-subj", "/CN=broker", "-keyout", "broker.key", "-out", "broker.csr"],
        [
            *("openssl", "x509", "-req", "-days", "2", "-in", "broker.csr", "-CA", "ca.crt", "-CAkey", "ca.key"),
            *("-CAcreateserial", "-extfile", "names", "-out", "broker.crt"),
        ],
    )
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    for command in commands:
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    pem = (folder / "broker.key").read_text() + (folder / "broker.crt").read_text()
    (folder / "broker.pem").write_text(pem)


def test_events_come_through_with_a_password_over_tls(secured: Settings) -> None:
    topics = [contract.topic for contract in load_contracts()]
    broker.create_topics(secured.bootstrap_servers, topics, security=python_options(secured))
    messages = order_messages(rate=100, start=1_800_000_000)
    with sender(secured) as kafka:
        for message in (next(messages) for _ in range(EVENTS)):
            kafka.send(TOPIC, key=message.key, value=message.value)

    lake = Lake(secured.lake_url)
    variables = {
        "SLUICE_KAFKA_SECURITY_PROTOCOL": secured.kafka_security_protocol,
        "SLUICE_KAFKA_USERNAME": secured.kafka_username,
        "SLUICE_KAFKA_PASSWORD": secured.kafka_password,
        "SLUICE_KAFKA_CA_FILE": secured.kafka_ca_file,
    }
    with Jobs(secured, "marketplace", variables) as jobs:
        jobs.start()
        lake.wait_for(EVENTS, jobs)
        assert jobs.stop() == 0

    assert lake.count("bronze/events") == EVENTS


def test_a_wrong_password_is_told(secured: Settings) -> None:
    wrong = secured.model_copy(update={"kafka_password": "guessed"})

    assert not broker.is_ready(wrong.bootstrap_servers, python_options(wrong))
    with pytest.raises(StackError):
        broker.create_topics(wrong.bootstrap_servers, [TOPIC], security=python_options(wrong))
