"""What is noted while the store is away, and whether its replies may be believed since."""
