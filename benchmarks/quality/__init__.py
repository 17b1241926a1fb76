"""How well methods cluster real data: ``python -m benchmarks.quality --help``.

``datasets`` and ``methods`` are the tables of what is run; ``runs`` plans and runs,
each run in a process of its own (``worker``); ``results`` is the file of lines that
come of it; ``tables`` turns them into a page. This file stays empty: the environment
of the peers, where skmixae is not installed, imports it too.
"""
