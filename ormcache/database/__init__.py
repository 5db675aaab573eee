"""What a database is and what a connection sees of it."""
