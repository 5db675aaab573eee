"""Django's own test suite, with every model of its applications cached."""
