"""The code that understands a mapping folder."""
