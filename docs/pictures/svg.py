"""A screen as tmux captured it (`capture-pane -p -e`), as a picture: svg.py TITLE WIDTH < in > out."""

import io
import re
import sys

from rich.console import Console
from rich.text import Text
from rich.terminal_theme import TerminalTheme

THEME = TerminalTheme(
    (24, 26, 31),
    (214, 217, 224),
    [(40, 44, 52), (224, 108, 117), (152, 195, 121), (229, 192, 123),
     (97, 175, 239), (198, 120, 221), (86, 182, 194), (214, 217, 224)],
    [(92, 99, 112), (224, 108, 117), (152, 195, 121), (229, 192, 123),
     (97, 175, 239), (198, 120, 221), (86, 182, 194), (255, 255, 255)],
)

title, width = sys.argv[1], int(sys.argv[2])
console = Console(
    record=True, width=width, file=io.StringIO(), force_terminal=True,
    color_system="truecolor", legacy_windows=False,
)
for line in sys.stdin.read().rstrip("\n").split("\n"):
    console.print(Text.from_ansi(line), no_wrap=True, overflow="crop", crop=True)
# A fixed id, so that a picture changes only where the screen does.
sys.stdout.write(console.export_svg(title=title, theme=THEME, unique_id=re.sub("[^a-z]+", "-", title)))
