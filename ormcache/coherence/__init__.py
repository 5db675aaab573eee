"""The coherence protocol over cells: read, lease, fill; mark, release.

Knows neither Django nor Redis: it is given a ``Store``. Why each step is as it is stands in
``docs/explanation/protocol.rst``.
"""
