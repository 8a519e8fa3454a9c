"""Energy budgets alone: prices on joules, and a core of label-setting between them."""
