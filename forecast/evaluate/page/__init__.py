"""Pages that need nothing but themselves: the document, its interactive plots and tables, and their parts.

The scripts and the style beside this file are put inside every page.
"""
