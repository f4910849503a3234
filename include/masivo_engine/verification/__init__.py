"""
Read-back: what the ledger says was delivered, against what the API shows of it.

``sample`` whom to read · ``expected`` what was delivered to them · ``customers``, ``transactions``
and ``events`` compare, and ``differences`` names what they find · ``rounds`` reads until everything
has settled · ``verdict`` says what it came to.

What is proved, or proved not to be there, `masivo_engine.readback.evidence` says, as for doubts: to
be missing takes something that was sent later and is there.
"""
