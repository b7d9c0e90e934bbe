"""Reports of what was spent, the state of the budgets, and the forecast."""
