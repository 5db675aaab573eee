"""How a read is answered: rows from their cells, lists from their entries, the rest by SQL."""
