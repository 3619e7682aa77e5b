"""A semantic cache in shadow: what it would have answered, and how often that would have been wrong. It serves nothing.

question.py    the question of a request, and what else must be the same
words.py       words that change what is asked for
veto.py        whether two questions ask for different things although they are alike
bound.py       how alike a question must be to one entry, learned from what happened at that entry
rehearsal.py   what entries would have answered
shadow.py      the thread behind the cache of answers that rehearses
counts.py      the file with the numbers
figures.py     hit rate and error, with limits
limits.py      how far a measured rate can be from the true one
opening.py     the shadow that the settings describe
"""
