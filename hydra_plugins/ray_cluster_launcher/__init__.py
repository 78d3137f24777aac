"""The official Ray launcher, told when its cluster does not answer."""
