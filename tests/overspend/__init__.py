"""Many calls at once on budgets that are too small for them: no limit is ever passed."""
