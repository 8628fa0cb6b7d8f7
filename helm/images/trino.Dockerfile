# Trino: the engine, its connector of Delta Lake and nothing else. Context: the checkout.
# BASE is a Debian 13, which has Java 25; where no registry is reached, helm/images/base makes one.
ARG BASE=docker.io/library/debian:13-slim

FROM ${BASE} AS system
# Java's package makes a link to its manual, whose folder small images lack.
RUN mkdir -p /usr/share/man/man1 \
 && apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
    ca-certificates curl openjdk-25-jre-headless tini \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/*

FROM system AS distribution
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends maven
ARG VERSION=476
ARG SHA256=cfd5accde17e8ebd251eeeb78aed1f490e77bb3a164d95a0f454bf8a7c1cbd3f
WORKDIR /opt/trino
# The archive has fifty connectors. Of this one's jars, those for Hadoop's file systems are left out: ours are Trino's own.
# The secret is for networks with a certificate authority of their own; see helm/images/build.
RUN --mount=type=secret,id=java-certificates,target=/run/cacerts \
    if [ -s /run/cacerts ]; then export MAVEN_OPTS=-Djavax.net.ssl.trustStore=/run/cacerts; fi \
 && mvn --batch-mode --quiet -Dmaven.repo.local=/tmp/maven org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy \
    -Dartifact=io.trino:trino-server:$VERSION:tar.gz -DoutputDirectory=/tmp \
 && echo "$SHA256 /tmp/trino-server-$VERSION.tar.gz" | sha256sum --check --quiet \
 && mkdir /tmp/trino \
 && tar --extract --file /tmp/trino-server-$VERSION.tar.gz --directory /tmp/trino --strip-components 1 \
 && mkdir plugin bin \
 && mv /tmp/trino/lib /tmp/trino/secrets-plugin /tmp/trino/NOTICE . \
 && mv /tmp/trino/plugin/delta-lake /tmp/trino/plugin/password-authenticators plugin \
 && mv /tmp/trino/bin/launcher* /tmp/trino/bin/linux-amd64 /tmp/trino/bin/linux-arm64 bin \
 && rm -rf plugin/delta-lake/hdfs /tmp/*

FROM system
ENV TZ=UTC
COPY --from=distribution /opt/trino /opt/trino
RUN echo sluice:x:10001:10001:Sluice:/var/lib/trino:/usr/sbin/nologin >>/etc/passwd \
 && echo sluice:x:10001: >>/etc/group
USER 10001:10001
ENTRYPOINT ["/usr/bin/tini", "--"]
CMD ["/opt/trino/bin/launcher", "run", "--etc-dir=/etc/trino", "--data-dir=/var/lib/trino"]
