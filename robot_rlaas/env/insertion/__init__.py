"""A part in the hand and a hole or a shaft: what is seen, what counts as done, and a scripted expert."""
