"""The system calls of both faces."""
