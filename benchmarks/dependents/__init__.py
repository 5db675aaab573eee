"""What a write costs when many lists depend on the row it writes, or on others of its table."""
