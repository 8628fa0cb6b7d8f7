# Jobs: Spark, Python, jars, code; also the broker of small installations. Context: the checkout.
# BASE is a Debian 12; where no registry is reached, helm/images/base makes one.
ARG BASE=docker.io/library/debian:12-slim

FROM ${BASE} AS system
# Java's package makes a link to its manual, whose folder small images lack.
RUN mkdir -p /usr/share/man/man1 \
 && apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    ca-certificates openjdk-17-jre-headless procps python3 tini \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*

FROM system AS environment
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3-venv
WORKDIR /opt/sluice/app
ENV SLUICE_CACHE=/opt/sluice/cache
COPY pyproject.toml README.md LICENSE ./
COPY stack/__init__.py stack/environments.py stack/exceptions.py stack/
COPY stack/locks stack/locks
# The secrets are for networks with a certificate authority of their own; see helm/images/build.
RUN --mount=type=secret,id=certificates,target=/run/certificates.pem \
    if [ -s /run/certificates.pem ]; then export PIP_CERT=/run/certificates.pem SSL_CERT_FILE=/run/certificates.pem; fi \
 && python3 -m stack.environments runtime \
 && find /opt/sluice/cache/environments -name tests -path '*/site-packages/*/tests' -prune -exec rm -rf {} +
COPY jobs/__init__.py jobs/settings.py jobs/
COPY jobs/engine/__init__.py jobs/engine/session.py jobs/engine/ConditionalLogStore.scala jobs/engine/
COPY stack/jars.py stack/java.py stack/
RUN --mount=type=secret,id=java-certificates,target=/run/cacerts \
    if [ -s /run/cacerts ]; then export JAVA_TOOL_OPTIONS=-Djavax.net.ssl.trustStore=/run/cacerts; fi \
 && /opt/sluice/cache/environments/runtime/bin/python -m stack.jars --all

FROM system
ENV SLUICE_CACHE=/opt/sluice/cache \
    SLUICE_HOME=/var/lib/sluice \
    PYTHONPATH=/opt/sluice/app \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PATH=/opt/sluice/cache/environments/runtime/bin:$PATH \
    SPARK_HOME=/opt/sluice/cache/environments/runtime/lib/python3.11/site-packages/pyspark \
    TZ=UTC
# What seldom changes comes first: the next version of the code is a layer of two megabytes.
COPY --from=environment /opt/sluice/cache/environments /opt/sluice/cache/environments
COPY --from=environment /opt/sluice/cache/jars /opt/sluice/cache/jars
COPY . /opt/sluice/app
COPY helm/images/entrypoint /opt/sluice/entrypoint
WORKDIR /opt/sluice/app
RUN echo sluice:x:10001:10001:Sluice:/var/lib/sluice:/usr/sbin/nologin >>/etc/passwd \
 && echo sluice:x:10001: >>/etc/group \
 && python3 -m compileall -q /opt/sluice/app
USER 10001:10001
ENTRYPOINT ["/usr/bin/tini", "--", "/opt/sluice/entrypoint"]
CMD ["sluice", "--help"]
