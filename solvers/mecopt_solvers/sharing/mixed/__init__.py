"""Sharing beside energy budgets and memory: prices of all, moves, a tree whose leaves are searched."""
