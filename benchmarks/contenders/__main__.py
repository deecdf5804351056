"""One contender's process: ``python -m benchmarks.contenders NAME``, the job on stdin, the outcome on
stdout."""

import importlib
import sys

from benchmarks.contenders import CONTENDERS, PythonContender
from benchmarks.job import Job

contender = CONTENDERS[sys.argv[1]]
assert isinstance(contender, PythonContender)
module, _, name = contender.function.partition(".")
run = getattr(importlib.import_module(f"benchmarks.contenders.{module}"), name)
print(run(Job.from_json(sys.stdin.read())).to_json())
