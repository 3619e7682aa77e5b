"""The guard, over real ledgers."""
