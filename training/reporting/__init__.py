"""Model cards, plots and the ledger of training runs."""
