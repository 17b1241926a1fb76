"""A minute of timings, to see whether a change made something slower: make bench."""
