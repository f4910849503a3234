"""
Tokens: an API key buys a JWT that lasts an hour (docs/api-facts.md#f-token).
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

import jwt


class Tokens:
    """
    Issues and checks tokens. *lifetime_s* counts in seconds of this machine; ``exp`` is rounded up
    to a whole one.
    """

    def __init__(self, secret: str, accounts: Mapping[str, str], lifetime_s: float) -> None:
        self._secret = secret
        self._accounts = accounts
        self._lifetime_s = lifetime_s

    def issue(self, api_key: str) -> str | None:
        """A token for *api_key*, ``None`` if nobody has that key."""
        account = self._accounts.get(api_key)
        if account is None:
            return None
        now = time.time()
        claims = {"sub": account, "iat": int(now), "exp": math.ceil(now + self._lifetime_s)}
        return jwt.encode(claims, self._secret, algorithm="HS256")

    def account(self, authorization: str) -> str | None:
        """
        The account that an ``Authorization`` header speaks for, ``None`` if the token is missing,
        wrong or expired.
        """
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return None
        try:
            claims = jwt.decode(token.strip(), self._secret, algorithms=["HS256"], options={"require": ["exp", "sub"]})
        except jwt.InvalidTokenError:
            return None
        account = str(claims["sub"])
        return account if account in self._accounts.values() else None
