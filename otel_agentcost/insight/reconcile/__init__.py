"""A provider's bill, what was recorded, and why they differ.

kinds.py       kinds of tokens as bills have them
counted.py     recorded calls as the cells of a bill
split.py       the difference of each cell, split into causes whose sum it is, exactly
apportion.py   dollars of a bill that are for several cells
findings.py    the causes in sentences, and the calls to suspect
proposals.py   own prices that the bill shows

Bills are fetched and read in `store.bills`, one file a provider.
"""
