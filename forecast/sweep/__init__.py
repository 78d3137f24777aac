"""Sweeps that survive: each job records itself, what has finished is not run again, all jobs are ranked at the end."""
