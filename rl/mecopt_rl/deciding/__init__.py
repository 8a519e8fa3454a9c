"""Trained policies as methods."""
