#!/bin/sh
# Makes .env and the files of secrets/ that docker-compose.yaml mounts. What is there already stays as it is.
set -eu
umask 077
cd "$(dirname "$0")/.."

# A container reads the files as the account that made them, because they are nobody else's to read. It is never root.
uid=$(id -u)
[ "$uid" -ne 0 ] || uid=50000

[ -e .env ] || { cat .env.example; printf '\n# Whose the files of secrets/ are.\nAIRFLOW_UID=%s\n' "$uid"; } >.env

mkdir -p secrets
cd secrets

random() { head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '\n'; }
# printf is the shell's own, so that no secret is an argument of a process.
keep() { [ -e "$1" ] || printf '%s' "$2" >"$1"; }

# Keep the Fernet key: what Airflow has encrypted with it cannot be read without it.
keep fernet_key "$(random)"
for name in jwt_secret api_secret_key admin_password airflow_db_password ledger_db_password redis_password; do
  keep "$name" "$(random | tr -d '=')"
done

password=$(cat airflow_db_password)
keep airflow_db_url "postgresql+psycopg2://airflow:$password@airflow-db:5432/airflow"
keep celery_result_url "db+postgresql+psycopg2://airflow:$password@airflow-db:5432/airflow"
keep broker_url "redis://:$(cat redis_password)@redis:6379/0"

[ -e connections.yaml ] || cat >connections.yaml <<END
# Where from: any database that SQLAlchemy speaks to; it is only read. This one is the sample's.
legacy_db: postgresql+psycopg://legacy:legacy@legacy:5432/legacy

# Where to. This one is the sandbox; yours is
#   masivo_api: {conn_type: masivo, host: app.masivo.ai, password: <API key>, extra: {account: prod, account_id: our-shop}}
# with account dev (250 requests an hour) or prod (1000), and your own name for it, by which the ledger knows it.
masivo_api:
  conn_type: masivo
  schema: http
  host: sandbox
  port: 8099
  password: sandbox-key
  extra: {interval_s: 0.1, per_hour: 1000000, account_id: sandbox}

# The account of every row. It has a database of its own; never delete it.
masivo_ledger: postgresql+psycopg://ledger:$(cat ledger_db_password)@ledger-db:5432/ledger
END

[ "$(id -u)" -ne 0 ] || chown -R "$uid:0" .
chmod 600 ./*
echo "secrets/ and .env are there. Next: docker compose --profile sample up"
