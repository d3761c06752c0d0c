"""Free parts, and the stages of a job: what is seen, what is true, what comes next, and a scripted expert."""
