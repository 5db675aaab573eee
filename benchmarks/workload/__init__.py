"""The traffic of a blog with a shop, replayed against ormcache, its peers and no cache."""
