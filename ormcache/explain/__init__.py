"""Why a read is cached or not, in words, and what the store holds of it."""
