"""A model that is interrupted, for tests of the command line."""


class InterruptedModel:
    """Model that is interrupted after ``batches`` batches."""

    def __init__(self, model, batches):
        self.name, self.version, self.class_names = model.name, model.version, model.class_names
        self.model, self.remaining, self.classified = model, batches, 0

    def classify(self, contents):
        if not self.remaining:
            raise KeyboardInterrupt
        self.remaining -= 1
        self.classified += len(contents)
        return self.model.classify(contents)
