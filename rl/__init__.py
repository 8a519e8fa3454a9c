"""Learners: policies trained by reinforcement; found by mecopt through its entry points."""
