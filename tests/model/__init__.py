"""An explicit-state model checker of the coherence protocol.

It runs the production code itself, querysets and transactions included, between a simulated Redis
server and a simulated database, and explores every order of their steps. See
``docs/explanation/verification.rst``.
"""
