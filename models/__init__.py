"""The interface between training and service: the model card, the file contract and the image preparation."""
