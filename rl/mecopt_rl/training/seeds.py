"""First numbers of the seeds of each purpose: training, validation and tests never share one."""

TRAINING, VALIDATION, TEST = 1, 2, 3
