"""The border between training and service: what a model file says of itself, and how a picture becomes its pixels."""
