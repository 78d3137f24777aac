"""The routes: each module has `router(context)`."""
