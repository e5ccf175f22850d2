"""Real processes on real terminals and pipes."""
