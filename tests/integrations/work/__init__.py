"""Units of work: each has an allowance of its own where no span is open."""
