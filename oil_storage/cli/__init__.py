"""Command-line tools. Each module has a function ``main(argv=None)`` that parses the arguments and runs the tool."""
