# One image for `ostatok http`, `ostatok stream` and `ostatok migrate`:
#
#     docker build -t ostatok:0.1.0 .
#
# It holds no setting and no secret: whoever runs it gives the OSTATOK_… variables. It runs as any
# user and on a read-only file system with a writable /tmp. Needs BuildKit (Docker 23 or newer).

FROM python:3.13.14-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src

# Every package is compared with its hash in the lock file here; from then on nothing is fetched.
COPY requirements/service.txt requirements/
RUN pip wheel --require-hashes --wheel-dir /wheels -r requirements/service.txt

# The build backend is locked too. It stays here: what is installed for the final stage is the
# project and what it depends on, and no pip.
RUN pip install --no-index --find-links /wheels hatchling
COPY pyproject.toml README.md LICENSE ./
COPY ostatok ostatok
COPY http http
COPY stream stream
COPY db db
RUN pip wheel --no-build-isolation --no-deps --wheel-dir /wheels . \
 && python -m venv --without-pip /opt/ostatok \
 && pip --python /opt/ostatok/bin/python install --no-index --find-links /wheels 'ostatok[telemetry]'


FROM python:3.13.14-slim-trixie
LABEL org.opencontainers.image.title="Ostatok" \
      org.opencontainers.image.description="Takes a bank's payment webhooks in and answers the balance of an INN" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV PATH=/opt/ostatok/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
COPY --from=build /opt/ostatok /opt/ostatok

# healthy PORT PATH: exits 0 when this container answers 200 there.
COPY --chmod=0755 <<'EOF' /usr/local/bin/healthy
#!/usr/local/bin/python3 -I
import http.client
import os
import ssl
import sys

_, port, path = sys.argv
if os.environ.get("OSTATOK_HTTP_TLS_CERTIFICATE_FILE") and port == os.environ.get("OSTATOK_HTTP_PORT", "8000"):
    unnamed = ssl._create_unverified_context()
    asked = http.client.HTTPSConnection("127.0.0.1", int(port), timeout=3, context=unnamed)
else:
    asked = http.client.HTTPConnection("127.0.0.1", int(port), timeout=3)
try:
    asked.request("GET", path)
    answer = asked.getresponse()
except (OSError, http.client.HTTPException) as error:
    sys.exit(f"127.0.0.1:{port}{path}: {error!r}")
print(answer.status, answer.read(1000).decode(errors="replace"))
sys.exit(answer.status != 200)
EOF

# A number, so that Kubernetes' runAsNonRoot can see that it isn't root's.
USER 10001:10001
# The one place that may be written to.
WORKDIR /tmp
EXPOSE 8000 8001
STOPSIGNAL SIGTERM
# Of `ostatok http`. For `ostatok stream` give --health-cmd 'healthy 8001 /healthz'. It asks whether
# the process lives, not whether Kafka and Postgres do: an orchestrator that replaces what is
# unhealthy would otherwise restart everything for their sake. (docker-compose.yml asks /readyz:
# compose replaces nothing, and `docker compose ps` then says who is ready.)
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD healthy "${OSTATOK_HTTP_PORT:-8000}" /healthz
ENTRYPOINT ["ostatok"]
CMD ["--help"]
