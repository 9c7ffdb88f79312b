"""The networks of the method and what trains them."""
import os

# Before torch starts its threads: those that wait are not to spin.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
