"""One reader per corpus layout: a module that turns the user's files into the corpus table.

layout.py says what a reader is given and what it returns. To add a layout, add a module here (or
anywhere else that can be imported) and conf/corpus/NAME.yaml.
"""
