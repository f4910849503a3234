"""
What the system does: one file per station of a row's journey, see
``include/masivo_engine/model/rows.py``.
"""
