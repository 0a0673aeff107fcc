"""The language server: suggestions in any editor that speaks LSP, over standard input and output.

`command.run` starts it; without pygls nothing but that module can be imported.
"""
