"""Answers to "what if": curves over one figure, fronts of two or three, robust plans, sampled rates.

All of it needs the trellis and `mecopt.solve` alone.
"""
