"""What a text of SQL may do, from its words alone."""
