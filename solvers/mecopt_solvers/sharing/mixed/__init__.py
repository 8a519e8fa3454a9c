"""Sharing beside energy budgets and memory: prices of all of them, moves, and a tree whose leaves are searched."""
