"""Interface between training and service: card, file contract, preparation."""
