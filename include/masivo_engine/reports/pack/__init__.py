"""
The audit pack: one folder per run that shows what was planned and what became of every row,
readable without the system.
"""
