"""Kokuban against other libraries, side by side on this machine.

    python -m benchmarks [--rounds 5] [--quick] [--only PART] [--peers NAME] [--out docs]

measures, prints, and writes `benchmarks.md` and `benchmarks.svg`. How it is kept fair:

- Everyone has the same net, start weights, data, and type (float32). The losses of the
  first steps, from batches in the same order, must agree before anything is timed.
- What is timed is training as people do it: each epoch has its rows in a new random
  order, by each library's usual means. The same with batches that lie ready is a table of
  its own.
- Nobody looks on: no callback, no bar. What a call of `fit` does once is not counted.
- Each contender lives in a process of its own, with its data in its own arrays. The
  others are stopped (SIGSTOP) while one runs, so that no pool of waiting threads takes a
  processor away. Kokuban is also measured before the others are started.
- Rounds are interleaved. A ratio is taken within a round; the table gives the median
  over the rounds, with the least and the most.
- Peers run with one thread and with all, and the better of the two counts; where a step
  is long, with all.
- The ceiling is measured in the same rounds.

| module | what is there |
|---|---|
| `job.py` | a net to train: its data, start weights, and how much work a step is |
| `contenders/` | the same training in each library |
| `worker.py`, `team.py` | a contender's process; the processes from outside |
| `rounds.py` | interleaved rounds, medians and ratios |
| `ceiling.py`, `ceiling.cpp` | what the machine can do at most |
| `steps.py` | the time of a training step |
| `fresh.py` | what needs fresh processes: first step, import, memory; size on disk |
| `digits.py` | `MLPClassifier` of both libraries on handwritten digits |
| `report.py`, `plot.py` | the document, the picture |
| `turns.py` | a benchmark of its own: builds of this library against each other |
| `tabular/` | a benchmark of its own: errors and times on tables |
"""
