"""Made-up data and made-up visitors for the blog, and the check that its pages tell the truth."""
