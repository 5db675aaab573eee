"""The history checker: processes read and write on real servers while these are broken, every
operation is noted, and afterwards every read is held against what the database had committed.

``python -m tests.history --help``
"""
