"""The parts of the program: a folder for each cloud, and `inside` for what is made in any cluster.

A part is a ComponentResource with a dataclass of arguments and typed outputs. A cloud's package is imported only where
a stack runs there. No part reads the configuration by itself.
"""
