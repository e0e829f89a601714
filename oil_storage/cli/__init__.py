"""Command-line tools: ``main(argv=None)`` of each module parses the arguments and runs the tool."""
