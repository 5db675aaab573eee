"""What a query says: its structure, its fingerprint, and what it depends on. No I/O."""
