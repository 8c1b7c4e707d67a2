"""What is made in any cluster, whoever made it: tenants, Secrets for the stores, Argo CD with its root, GPUs' plugin.

Everything after that is Argo CD's, from git.
"""
