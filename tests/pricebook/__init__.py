"""The price book: against the library, against users' complaints, with own price files, and as a command."""
