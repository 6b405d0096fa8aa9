"""What runs in a process of its own from start to end: cold starts, compile times, peak memory."""
