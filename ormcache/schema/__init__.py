"""What a model is to the cache: its tables, options, partitions, and what is watched."""
