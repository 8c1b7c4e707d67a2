"""Retraining without anybody: when a run is due, one run at a time, and its steps as commands that any scheduler calls.

What a run makes lies in `<state>/runs/<run id>/`, one record a step; a step that has left its record is not done again.
Nothing here trains or releases: that is `coalmine.steps` and `coalmine.release`.
"""
