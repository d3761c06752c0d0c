"""Logs of a motion in, a calibration file out: excite, log, fit, judge. It never touches a live robot."""
