"""
What Airflow learns about this project without importing it: the connection type ``masivo`` and its
form.

Found through the entry point group ``apache_airflow_provider``. Every process of Airflow calls this
at its start, so the module imports nothing. What each field means is in `masivo.connections.api`.
"""

from __future__ import annotations

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """Return the provider's description, as ``airflow/provider_info.schema.json`` has it."""
    return {
        "package-name": "masivo-migration",
        "name": "Masivo migration",
        "description": "Moves a retailer's customers, purchases and points to Masivo.",
        "integrations": [
            {
                "integration-name": "Masivo",
                "external-doc-url": "https://docs.masivo.ai",
                "tags": ["service"],
            }
        ],
        "hooks": [{"integration-name": "Masivo", "python-modules": ["masivo.hook"]}],
        "connection-types": [
            {
                "connection-type": "masivo",
                "hook-class-name": "masivo.hook.MasivoHook",
                "hook-name": "Masivo",
                "ui-field-behaviour": {
                    "hidden-fields": ["login", "schema"],
                    "relabeling": {"password": "API key"},
                    "placeholders": {
                        "host": "app.masivo.ai",
                        "password": "from Masivo's Settings > Advanced Settings",
                    },
                },
                "conn-fields": _fields(),
            }
        ],
    }


def _fields() -> dict[str, dict[str, Any]]:
    return {
        "account": {
            "label": "Account",
            "description": "dev: 250 migration requests an hour; prod: 1000. Empty counts as prod.",
            "schema": {"type": ["string", "null"], "enum": ["dev", "prod"]},
        },
        "interval_s": _number("Interval (s)", "Seconds from the start of one request to the next; 5 if empty."),
        "per_hour": _count("Requests per hour", "Overrides what the account preset says."),
        "records": _count("Records per request", "At most 1000, which is also what empty means.", maximum=1000),
        "customers": _count("Customers per request", "At most 1000, which is also what empty means.", maximum=1000),
        "body_bytes": _count("Bytes per request", "Largest body that is sent; 4,000,000 if empty."),
        "margin_s": _number("Margin (s)", "Added to the interval; 0.05 if empty."),
        "slice_requests": _count("Requests per slice", "How much one mapped task works off; 50 if empty."),
        "slice_s": _number("Seconds per slice", "How long one mapped task may have the lane; 1200 if empty."),
        "lease_s": _number(
            "Lease (s)", "After such a silence a task counts as dead and others take over; 180 if empty."
        ),
        "isolation_per_hour": _count(
            "Isolation per hour", "Requests that taking refused batches apart may use; 600 if empty."
        ),
        "settle_after_s": _number(
            "Settle after (s)",
            "How long the API's queue is given before a read-back: the deadline and 20 s at least; 180 if empty.",
        ),
        "certain_after_s": _number(
            "Certain after (s)",
            "When what is not visible counts as never arrived, not before it has settled; 3600 if empty.",
        ),
        "settle_reads": _count("Read-backs", "How many reads settle a doubt; 3 if empty."),
        "token": {
            "label": "Static token",
            "description": "Instead of the API key, which stays empty then: a bearer token that somebody else renews.",
            "schema": {"type": ["string", "null"], "format": "password"},
        },
        "account_id": _text(
            "Account name", "Your name for the account, by which the ledger knows it. Change it only with: masivo tie."
        ),
        "base_path": _text("Base path", "/api/storefront/v1 if empty."),
        "newer_fields": {
            "label": "Newer fields",
            "description": "The account's API knows document_type, document_number, country and last_session.",
            "schema": {"type": ["boolean", "null"], "default": False},
        },
        "deadline_s": _number("Deadline (s)", "Total time of one request; 120 if empty."),
        "connect_timeout_s": _number("Connect time-out (s)", "10 if empty."),
        "verify": _text("CA bundle", "Path of a CA bundle; certificates are always verified."),
    }


def _text(label: str, description: str) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": ["string", "null"]}}


def _number(label: str, description: str) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": ["number", "null"], "minimum": 0}}


def _count(label: str, description: str, *, maximum: int | None = None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": ["integer", "null"], "minimum": 1}
    return {
        "label": label,
        "description": description,
        "schema": schema if maximum is None else {**schema, "maximum": maximum},
    }
