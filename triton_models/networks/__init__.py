"""Networks as plain torch modules, and their weights from the files they come in. No Triton in here."""
