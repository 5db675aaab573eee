"""A state machine over random schemas, reads and writes: after every step each read that was made
before equals the database. ``python -m tests.machine --help``.

Everything random is made as Python source, so a failing example is a script to read and to paste.
"""
