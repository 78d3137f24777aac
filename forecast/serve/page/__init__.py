"""The page at /ui: one document that needs nothing but the server's own routes, and what only it asks for."""
