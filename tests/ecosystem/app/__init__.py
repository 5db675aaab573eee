"""The application of such a site; its models are the source the test gave."""
