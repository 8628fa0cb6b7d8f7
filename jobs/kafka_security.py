"""How clients prove who they are to Kafka, and Kafka to them; Spark's client and Python's have other names for it."""

from jobs.settings import Settings

LOGIN_MODULES = {
    "PLAIN": "org.apache.kafka.common.security.plain.PlainLoginModule",
    "SCRAM-SHA-256": "org.apache.kafka.common.security.scram.ScramLoginModule",
    "SCRAM-SHA-512": "org.apache.kafka.common.security.scram.ScramLoginModule",
}


def spark_options(settings: Settings) -> dict[str, str]:
    """Options of Spark's Kafka source; none for brokers that ask for nothing."""
    options: dict[str, str] = {}
    if settings.kafka_security_protocol != "PLAINTEXT":
        options["kafka.security.protocol"] = settings.kafka_security_protocol
    if settings.kafka_security_protocol.startswith("SASL"):
        login = f'username="{_quoted(settings.kafka_username)}" password="{_quoted(settings.kafka_password)}"'
        options["kafka.sasl.mechanism"] = settings.kafka_sasl_mechanism
        options["kafka.sasl.jaas.config"] = f"{LOGIN_MODULES[settings.kafka_sasl_mechanism]} required {login};"
    if settings.kafka_security_protocol.endswith("SSL") and settings.kafka_ca_file:
        options |= {"kafka.ssl.truststore.type": "PEM", "kafka.ssl.truststore.location": settings.kafka_ca_file}
    return options


def python_options(settings: Settings) -> dict[str, str]:
    """Options of kafka-python's clients; none for brokers that ask for nothing."""
    options: dict[str, str] = {}
    if settings.kafka_security_protocol != "PLAINTEXT":
        options["security_protocol"] = settings.kafka_security_protocol
    if settings.kafka_security_protocol.startswith("SASL"):
        options["sasl_mechanism"] = settings.kafka_sasl_mechanism
        options["sasl_plain_username"] = settings.kafka_username
        options["sasl_plain_password"] = settings.kafka_password
    if settings.kafka_security_protocol.endswith("SSL") and settings.kafka_ca_file:
        options["ssl_cafile"] = settings.kafka_ca_file
    return options


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
