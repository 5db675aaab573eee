"""ormcache beside other people's packages: each test is a small site of its own."""
