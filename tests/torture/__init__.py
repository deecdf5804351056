"""The torture run: thousands of faults and kills over many sessions, and an account of every fragment.

    python -m tests.torture --faults 10000 --seed 1

A *house* (:mod:`house`) is a process with the local service and a fault proxy per session. *Threads* that
restart (:mod:`threads`) and *children* that are killed (:mod:`children`) consume its streams. Each keeps a
ledger (:mod:`ledger`) of what was delivered and committed, and in the end the ledgers are audited against
what was produced. Everything random comes from the seed; only the moments depend on the machine.

Three more programs, each with a short form among the tests: :mod:`killed` (one consumer, killed 200 times),
:mod:`fleet` (two processes, one lease table), :mod:`idle` (what a silent stream costs).
"""
