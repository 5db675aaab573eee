"""The write x read matrix: every kind of write, every kind of read, as tables.

A write takes the ``World`` and changes it. A read takes nothing and returns plain values, the same
for the same rows. Adding one is adding a line to a table.
"""
