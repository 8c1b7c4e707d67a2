"""The one-machine runtime: `coalmine up` and the processes it keeps, `down`, `status`, `doctor`, `demo`.

It wires the parts together and decides nothing: what a rollout does is in `rollout`, what ends it in `release`.
"""
