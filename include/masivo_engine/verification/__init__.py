"""
Read-back: what the ledger says was delivered, against what the API shows of it.

``choosing`` whom to read · ``owing`` what was delivered to them · ``showing`` what the API shows ·
``balances``, ``transactions``, ``events`` and ``customers`` compare · ``rounds`` reads until
everything has settled · ``verdict`` says what it came to.
"""
