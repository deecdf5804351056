"""The torture run: thousands of faults and kills over many sessions, and an account of every fragment.

    python -m tests.torture --faults 10000 --seed 1

A *house* (:mod:`house`) is a process with the local service and a fault proxy per session. *Threads* and
*children* (:mod:`crew`) consume its streams, close and restart at random, and are killed. Each keeps a ledger
(:mod:`ledger`) of what was delivered and committed, and in the end the ledgers are audited against what was
produced. Everything random comes from the seed; only the moments depend on the machine.
"""
