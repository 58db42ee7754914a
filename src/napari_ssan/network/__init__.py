"""The sparse self-attention aggregation network (SSAN). Knows torch and nothing else."""
