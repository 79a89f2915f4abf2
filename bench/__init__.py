"""How fast it is: each figure a ratio of two things run in turn, in one run, on the same cores."""
