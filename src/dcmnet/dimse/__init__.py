"""PS3.7 messages, sans-I/O and without pydicom: the Command Set codec, the messages, their fragments."""
