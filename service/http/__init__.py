"""The HTTP layer: connections, middleware, routes, parsing and responses."""
