"""The Storage service as users meet it: files and data sets to be sent, received objects to be kept."""
