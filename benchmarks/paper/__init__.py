"""The paper's tables and figures, made again: ``python -m benchmarks.paper --help``.

``experiments`` is the list of what is made, and of the runs that each needs. ``fits``
fits a mixture once and notes how it came about, ``store`` keeps that, and ``tables``
and ``figures`` are made of what is kept, without another run; ``page`` turns them into
a page of the documentation. Data sets, methods and their runs are those of
``benchmarks.quality``, and ``rcv1`` adds the text collection that the paper clusters.
"""
