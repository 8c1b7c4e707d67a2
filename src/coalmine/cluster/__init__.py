"""What runs in a cluster beside Flagger: the closer. It reads Canaries and never writes one; it owns no decision."""
