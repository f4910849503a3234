"""The nouns that travel: rows, batches, runs, limits, answers, reasons, errors. No I/O."""
