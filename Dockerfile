# Airflow with this project inside: one image for every service of docker-compose.yaml, and for Kubernetes.
# Slim, because each further provider's pins would have to agree with the lock. Microsoft's ODBC driver is only in the
# full image: --build-arg AIRFLOW_IMAGE=apache/airflow:3.3.2-python3.12 --build-arg DRIVERS=mssql
ARG AIRFLOW_IMAGE=apache/airflow:slim-3.3.2-python3.12
FROM ${AIRFLOW_IMAGE}

# Drivers of legacy databases beyond SQLite, PostgreSQL and MySQL: mssql, oracle, or both with a space between.
ARG DRIVERS=""

# The base image's own account, which is not root; group 0 lets any other uid stand in for it.
USER airflow
WORKDIR /opt/airflow
COPY --chown=airflow:0 requirements.txt requirements.lock pyproject.toml LICENSE ./
# Every version and hash comes from the lock, as on a developer's machine; compiled now and not at every start.
ENV UV_COMPILE_BYTECODE=1
RUN uv pip install --no-cache --require-hashes --constraint requirements.lock --requirement requirements.txt \
    --group compose $(printf -- '--group %s ' ${DRIVERS:-compose})

# include/ is on the path for `masivo_engine`, plugins/ for `masivo`; the editable install registers the connection type.
COPY --chown=airflow:0 include ./include
COPY --chown=airflow:0 plugins ./plugins
COPY --chown=airflow:0 dags ./dags
RUN uv pip install --no-cache --no-deps --no-build-isolation --editable . && uv pip check && \
    python -m compileall -q include plugins dags
# A new volume takes the owner and mode of the folder that it is mounted on.
RUN mkdir -p -m 0770 logs sandbox
# Where audit packs lie; made here so that the volume on it belongs to Airflow's user.
RUN mkdir -p -m 0700 packs
ENV PYTHONPATH=/opt/airflow/include:/opt/airflow/plugins
