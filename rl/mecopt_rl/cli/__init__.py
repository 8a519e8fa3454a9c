"""Commands of the learners."""
