"""UIDs, transfer syntaxes, SOP classes and statuses of the standard: data, and questions about them."""
