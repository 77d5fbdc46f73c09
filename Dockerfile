# One image for every service: `python -m consumers.risk` and so on, as docker-compose.yml starts them.
FROM python:3.12-slim

WORKDIR /app
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=/app

# What changes rarely first: dependencies, at the versions that were tested.
COPY pyproject.toml constraints.txt README.md LICENSE ./
RUN mkdir schemas engine infra producers consumers \
    && pip install --no-cache-dir --root-user-action=ignore -c constraints.txt -e ".[demo]"

COPY topics.yaml ./
COPY schemas schemas
COPY engine engine
COPY infra infra
COPY producers producers
COPY consumers consumers

RUN useradd --uid 10001 --home-dir /var/lib/scizor --no-create-home scizor && install -d -o scizor -g scizor -m 0700 /var/lib/scizor
USER scizor
VOLUME /var/lib/scizor

ENV SCIZOR_HOME=/var/lib/scizor SCIZOR_BIND=0.0.0.0 SCIZOR_METRICS_PORT=9100
EXPOSE 9100
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ['SCIZOR_METRICS_PORT'] + '/ready', timeout=4)"]

CMD ["scizor", "--help"]
