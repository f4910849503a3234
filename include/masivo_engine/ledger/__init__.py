"""
The durable account of every record and batch, in SQL: SQLite for one machine, PostgreSQL or MySQL
beyond it.
"""
