"""One module per tool: ``main(argv=None)`` parses and calls the package."""
