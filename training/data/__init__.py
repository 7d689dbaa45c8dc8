"""Data sets, image folders and augmentation: uint8 tensors."""
