"""Random programs that must never end the process: see `run.py`."""
