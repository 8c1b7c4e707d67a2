"""Is what comes in, what goes out, and how right it is, still what it was? Alarms at a stated rate of false ones.

`distances` measures (pure), `calibrate` says how surprising that is (pure), `watch` folds windows into states (pure);
`reading`, `store`, `page`, `metrics` and `run` are the edges. Nothing here changes what serves.
"""
