"""
Sealing by Airflow's own Fernet key, for the payloads of quarantined records that the ledger keeps
if it is asked to.

Environment variable, else Airflow Variable ``MASIVO_KEEP_PAYLOADS``: true or false, false by
default. Without a Fernet key nothing is kept.
"""

from __future__ import annotations

import logging

from airflow.sdk.configuration import conf
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from masivo.connections.lookup import setting
from masivo_engine.ledger.writing.sealed_payloads import Seal
from masivo_engine.model.errors import Misconfigured


_ASKS = "MASIVO_KEEP_PAYLOADS"
_log = logging.getLogger(__name__)


def seal() -> Seal | None:
    """Return what seals payloads, None where none are to be kept. Raises `Misconfigured`."""
    asked = setting(_ASKS, "false")[0].strip().lower()
    if asked not in {"true", "false"}:
        raise Misconfigured(f"{_ASKS} must be true or false, but is a text of {len(asked)} characters")
    if asked == "false":
        return None
    fernet = _fernet()
    if fernet is None:
        _log.warning("%s asks for payloads, but Airflow has no Fernet key: none are kept", _ASKS)
        return None
    return fernet.encrypt


def unseal(sealed: bytes) -> str:
    """Return the payload that was *sealed*; raises `Misconfigured` without the key."""
    fernet = _fernet()
    if fernet is None:
        raise Misconfigured(
            "the payloads are sealed with Airflow's Fernet key, and there is none here: set core.fernet_key"
        )
    try:
        return fernet.decrypt(sealed).decode()
    except InvalidToken:
        raise Misconfigured(
            "a payload was sealed with another Fernet key than core.fernet_key: add that one behind a comma"
        ) from None


def _fernet() -> MultiFernet | None:
    """Return the keys as Airflow uses them: the first seals, all of them unseal."""
    keys = [key.strip() for key in (conf.get("core", "fernet_key", fallback="") or "").split(",") if key.strip()]
    try:
        return MultiFernet([Fernet(key) for key in keys]) if keys else None
    except ValueError:
        raise Misconfigured("core.fernet_key is no Fernet key: 32 bytes in URL-safe base64") from None
