"""The lab: a real cluster of namespaced hosts on one machine (see libha/doc/lab.md)."""
