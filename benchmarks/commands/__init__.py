"""What ``python -m benchmarks`` can be told to do, a module for each: ``add_options`` and ``run``."""
