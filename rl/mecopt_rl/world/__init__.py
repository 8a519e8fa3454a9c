"""The decision process: environments, their kernels, what a policy observes, where episodes come from."""
