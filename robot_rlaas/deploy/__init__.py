"""Drive an arm with a bundle: supervisor, policy cycle, recorder, and a virtual arm to try them on."""
