"""The official Ray launcher, which refuses a cluster that does not answer."""
