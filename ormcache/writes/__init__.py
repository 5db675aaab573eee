"""What a commit touches, and how none of it is missed."""
