"""The DICOM Upper Layer protocol for TCP/IP (PS3.8), without any input or output of its own."""
