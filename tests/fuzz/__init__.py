"""A fuzzer that can run for hours: ``python -m tests.fuzz --seconds N --seed S``.

A case is made from the seed and its number alone. It fails on any difference from an obvious second way of
reading, and on any exception that is not documented: of media MediaError and its subclasses, of HTTP bodies
TransportError. The first failure, crash or hang ends the run and leaves a file that shows it again.
"""
