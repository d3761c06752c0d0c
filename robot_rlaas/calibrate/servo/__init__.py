"""The arm under its commands: excite, log, fit, judge."""
