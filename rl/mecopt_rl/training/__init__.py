"""Training: rounds, workers, parameter server, checkpoints, logs."""
