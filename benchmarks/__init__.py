"""What kvsfast costs, measured against what it could cost and against its rivals.

``python -m benchmarks`` runs whole processes against one server, ``python -m benchmarks micro`` times the hot
paths in memory, ``python -m benchmarks latency`` the way of a frame from a paced server. README.md says how
to read them."""
