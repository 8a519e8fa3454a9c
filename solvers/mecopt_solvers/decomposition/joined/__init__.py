"""Many slots joined by energy budgets, searched at prices of the budgets."""
