"""The page on which an operator sees what a deployment does, and stops it."""
