"""The service classes of PS3.4, one module each: how an SCP performs them."""
