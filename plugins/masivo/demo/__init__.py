"""
``make demo``, ``make up`` and ``make down``: the whole migration on one machine, with embedded
parts only.
"""
