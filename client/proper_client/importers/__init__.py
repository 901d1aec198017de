"""Importers: what people have, read as entries of a history.

One file for each format, all of one shape (`formats.Format`):

own_json    our own JSON, as strict as `train` reads it
own_lines   our own JSON, one entry on a line
lamp        LaMP's questions and outputs, or the layout with one record for each user
chatgpt     a ChatGPT export: zip, folder, or its conversations.json
chat        conversations as `messages`, one on a line or in a list
table       CSV with named columns
notes       Markdown and text, a file or a folder

What they stand on: `places` (files, folders and zips), `look` (what stands at the
beginning of one), `values` (JSON that is never in memory as a whole), `moments` (dates
of many kinds), `turns` (who wrote what after what). Above them `gathering` decides what
is kept, and `importing` acts.
"""
