"""A job's chunks as tasks on a Ray cluster: several machines, or this one."""
