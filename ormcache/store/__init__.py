"""The Redis side: connections, scripts, circuit breaker, embedded server.

The only package that imports ``redis``. Everything above speaks in commands (see
``store.scripts``) and gets replies with the epoch of the server that gave them.
"""
