"""Long videos chunk by chunk: a folder that keeps what is done, workers, and the way back after anything."""
