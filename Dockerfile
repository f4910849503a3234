# Airflow with this project inside: one image for every service of docker-compose.yaml.
FROM apache/airflow:3.3.2-python3.12

WORKDIR /opt/airflow
COPY --chown=airflow:0 requirements.txt requirements.lock pyproject.toml ./
# Every version and hash comes from the lock, as on a developer's machine.
RUN uv pip install --no-cache --require-hashes --constraint requirements.lock --requirement requirements.txt --group compose

# The root is on the path for `include`, plugins/ for `masivo`; the editable install registers the connection type.
COPY --chown=airflow:0 include ./include
COPY --chown=airflow:0 plugins ./plugins
COPY --chown=airflow:0 dags ./dags
RUN uv pip install --no-cache --no-deps --no-build-isolation --editable .
ENV PYTHONPATH=/opt/airflow:/opt/airflow/plugins
