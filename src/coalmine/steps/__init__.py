"""The steps from data to a built Bento: collect, train, evaluate, register, package; each a function and a command.

Records in, records out. Puts nothing into production: no alias `champion`, no release file, no push.
"""
